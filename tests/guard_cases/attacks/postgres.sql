SELECT * FROM users ORDER BY id USING < FOR UPDATE
SELECT * FROM users ORDER BY id USING > , pg_sleep(1)
SELECT id FROM users ORDER BY (SELECT pg_read_file('/etc/passwd')) USING <
SELECT a <#> pg_sleep(1) FROM users
SELECT a <+> (SELECT lo_import('/etc/passwd')) FROM users
SELECT @ nextval('s')
SELECT |/ pg_advisory_lock(1)
SELECT box pg_read_file('/etc/passwd')
SELECT json_query(pg_read_file('x')::jsonb, '$' WITH WRAPPER)
SELECT json_query('{}', '$' WITH WRAPPER) INTO t2
SELECT json_query('{}', '$' WITH x AS (DELETE FROM users RETURNING 1) WRAPPER)
SELECT 1 <> ALL (SELECT pg_sleep(1) IS NULL)
SELECT 1 = ANY (pg_ls_dir('/'))
SELECT 1 = ANY (ARRAY(SELECT pg_terminate_backend(pid) FROM pg_stat_activity))
SELECT any_fn(1)
SELECT "all"('x')
SELECT pg_catalog."any"('x')
SELECT 1 OPERATOR(evil.=) ALL (ARRAY[1])
COPY (SELECT 1) TO PROGRAM 'id'
COPY users FROM PROGRAM 'curl http://x'
COPY users TO '/tmp/x'
COPY (SELECT * FROM users) TO STDOUT
SELECT lo_import('/etc/passwd', 12345)
SELECT lo_export(16400, '/tmp/pwn')
SELECT lo_from_bytea(0, '\x41')
SELECT lo_put(16400, 0, '\x41')
SELECT lo_unlink(16400)
SELECT loid, data FROM pg_largeobject
SELECT lo_get(16400)
SELECT * FROM dblink('dbname=postgres', 'DELETE FROM users RETURNING 1') AS t(a int)
SELECT dblink_connect('host=evil.example')
SELECT dblink_send_query('c', 'DROP TABLE users')
SELECT set_config('statement_timeout', '0', false)
SELECT set_config('transaction_read_only', 'off', true)
SELECT set_config('search_path', 'evil', false), name FROM users
SELECT pg_terminate_backend(1), pg_cancel_backend(1)
SELECT pg_advisory_xact_lock(1)
SELECT pg_try_advisory_lock_shared(1, 2)
SELECT nextval('users_id_seq'::regclass)
SELECT setval('users_id_seq', 1, false)
SELECT pg_ls_dir('.'), pg_read_binary_file('PG_VERSION')
SELECT * FROM pg_ls_tmpdir()
SELECT pg_stat_file('postgresql.conf')
SELECT * FROM pg_read_file('/etc/passwd') AS t(x)
SELECT pg_logical_emit_message(true, 'a', 'b')
SELECT pg_create_logical_replication_slot('a', 'test_decoding')
SELECT pg_create_restore_point('x')
SELECT pg_rotate_logfile()
SELECT txid_current()
SELECT pg_current_xact_id()
SELECT query_to_xml('DELETE FROM users', true, true, '')
SELECT table_to_xml('pg_authid', true, true, '')
SELECT schema_to_xml('public', true, true, '')
SELECT ts_stat('SELECT pg_sleep(1)::text::tsvector')
SELECT ts_rewrite('a'::tsquery, 'SELECT 1,2')
SELECT * FROM crosstab('DELETE FROM users') AS t(a int)
SELECT xpath_table('a','b','users','/x','true')
SELECT currtid('users', '(0,1)')
SELECT pg_relation_filepath('users'), pg_read_file(pg_relation_filepath('users'))
SELECT U&"pg\005fsleep"(1)
SELECT U&"\0070g_read_file"('/etc/passwd')
SELECT "pg_sleep" (1)
SELECT pg_catalog . pg_sleep ( 1 )
SELECT (pg_sleep(1)).*
SELECT CAST(pg_sleep(1) AS text)
SELECT 'pg_sleep(1)'::regprocedure, pg_sleep(1)
SELECT $a$ $b$ $a$, pg_sleep(1) -- $b$
SELECT $$ $$; DROP TABLE users; -- $$
SELECT $x$'$x$; DELETE FROM users; --'
SELECT E'\\'; DELETE FROM users; --'
SELECT 'a' 'b'; DELETE FROM users
SELECT U&'\0027; DELETE FROM users' UESCAPE '\'; DELETE FROM users
/* /* */ SELECT 1; */ DELETE FROM users
SELECT 1 /* /* */ */; DELETE FROM users --
SELECT 1 --/*⏎; DELETE FROM users --*/
WITH x AS (INSERT INTO users(id) VALUES (99) RETURNING id) TABLE x
WITH x AS MATERIALIZED (UPDATE users SET name='x' RETURNING id) SELECT * FROM x
WITH RECURSIVE x AS (MERGE INTO users u USING orders o ON u.id=o.id WHEN MATCHED THEN DELETE RETURNING u.id) SELECT * FROM x
SELECT * FROM users FOR NO KEY UPDATE
SELECT * FROM users FOR KEY SHARE SKIP LOCKED
SELECT * FROM (SELECT * FROM users FOR SHARE OF users NOWAIT) q
(SELECT * FROM users) FOR UPDATE
VALUES (pg_sleep(1))
TABLE pg_shadow
SELECT * FROM ONLY pg_authid
SELECT passwd FROM pg_catalog.pg_shadow
SELECT * FROM pg_user_mapping
SELECT srvoptions FROM pg_foreign_server
SELECT subconninfo FROM pg_subscription
SELECT * FROM pg_hba_file_rules
SELECT * FROM pg_file_settings
SELECT query FROM pg_stat_activity
SELECT query FROM pg_stat_statements
SELECT most_common_vals FROM pg_stats
SELECT * FROM information_schema.user_mapping_options
EXPLAIN ANALYZE UPDATE users SET name = 'x'
EXPLAIN (ANALYZE) DELETE FROM users
EXPLAIN (FORMAT json) EXECUTE p
EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1
EXPLAIN ANALYZE DECLARE c CURSOR FOR SELECT 1
PREPARE p AS DELETE FROM users
DO $$ BEGIN PERFORM pg_sleep(1); END $$
LISTEN x
CALL p()
DISCARD ALL
SET SESSION AUTHORIZATION postgres
RESET ALL
LOAD 'x.so'
SECURITY LABEL ON TABLE users IS 'x'
REFRESH MATERIALIZED VIEW v
SELECT * FROM generate_series(1, 1000000000000)
SELECT repeat('x', 2000000000)
SELECT array_fill(0, ARRAY[100000, 100000])
SELECT current_setting('data_directory'), pg_read_file(current_setting('config_file'))
SELECT has_table_privilege('users', 'SELECT'), inet_client_addr(), pg_notify('a', 'b')
SELECT json_populate_record(null::evil, pg_read_file('x')::json)
SELECT regexp_replace('x', 'x', pg_read_file('/etc/passwd'))
SELECT CASE WHEN EXISTS (SELECT pg_sleep(1)) THEN 1 END
SELECT 1 FROM users WHERE id IN (SELECT pg_sleep(1)::text::int)
SELECT 1 GROUP BY pg_sleep(1)
SELECT 1 OFFSET (SELECT count(*) FROM pg_ls_dir('/'))
SELECT count(*) OVER (PARTITION BY pg_sleep(1)) FROM users
SELECT count(*) FILTER (WHERE pg_sleep(1) IS NULL) FROM users
SELECT string_agg(name, pg_read_file('x')) FROM users
SELECT DISTINCT ON (pg_sleep(1)) id FROM users
SELECT * FROM users TABLESAMPLE SYSTEM ((SELECT 1 FROM pg_sleep(1)))
SELECT * FROM users JOIN LATERAL pg_sleep(1) ON true
SELECT * FROM ROWS FROM (pg_ls_dir('/'), generate_series(1,2)) x
SELECT * FROM xmltable('/a' PASSING xmlparse(document pg_read_file('x')) COLUMNS a int)
SELECT ROW(pg_sleep(1), 1)
SELECT ARRAY[pg_sleep(1)]
SELECT (SELECT pg_sleep(1))::text || 'x'
SELECT -pg_sleep(1)::text::int
SELECT pg_sleep(1) COLLATE "C"
SELECT 1 WHERE (1,2) = (SELECT 1, pg_sleep(1)::text::int)
SELECT * FROM orders ORDER BY lo_unlink(1)
SELECT * FROM dblink('host=x', 'DELETE FROM t') AS t(a int)
SELECT dblink_exec('x', 'DROP TABLE t')
SELECT dblink_connect('x')
SELECT pg_stat_file('x')
SELECT "pg_catalog"."pg_read_binary_file"('x')
SELECT U&"\0070g_sleep"(3)
SELECT U&"!0070g_sleep" UESCAPE '!' (3)
SELECT * FROM orders LIMIT (SELECT pg_advisory_lock(1)::int)
SELECT * FROM orders OFFSET pg_try_advisory_xact_lock(1)::int
SELECT set_config('a.b', 'c', true)
SELECT nextval('orders_id_seq')
SELECT setval('s', 1), currval('s')
SELECT pg_notify('c', 'x')
SELECT query_to_xml('DELETE FROM t RETURNING *', true, true, '')
SELECT xmlparse(DOCUMENT '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'), table_to_xml('t', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT * FROM pg_catalog.pg_authid
SELECT * FROM pg_stat_activity
SELECT * FROM pg_user_mappings
SELECT * FROM pg_stats
SELECT * FROM orders FOR UPDATE
SELECT * FROM orders FOR NO KEY UPDATE SKIP LOCKED
SELECT * FROM (SELECT * FROM orders FOR SHARE) x
SELECT * INTO x FROM orders
SELECT 1 AS a INTO TEMP x
WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x
WITH x AS (MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE RETURNING *) SELECT * FROM x
SELECT $a$;$a$; DROP TABLE orders
SELECT 'a\'; DROP TABLE orders; --'
SELECT E'\''; DROP TABLE orders; --'
SELECT 1 /* /* */ ; DROP TABLE orders */ ; DROP TABLE x
SELECT 1 /* a /* b */ c */; DROP TABLE x
COPY (SELECT 1) TO PROGRAM 'sh'
DO $$BEGIN PERFORM 1; END$$
EXPLAIN (ANALYZE) DELETE FROM t
EXECUTE p(1)
SELECT * FROM crosstab('DELETE FROM t RETURNING 1') AS t(a int)
SELECT ts_stat('DELETE FROM x')
SELECT * FROM ts_stat('SELECT pg_sleep(9)')
SELECT ts_rewrite('a'::tsquery, 'SELECT a, b FROM t')
SELECT pg_sleep_for('5 min')
SELECT 1 WHERE pg_sleep_until(now() + interval '1 h') IS NULL
SELECT has_table_privilege('x', 'select'), pg_stat_reset()
SELECT pg_file_write('x','y',true)
SELECT plpy_exec('x')
SELECT count(*) FROM generate_series(1, 100000000000)
SELECT a FROM t ORDER BY a USING OPERATOR(evil.<)
SELECT 1 OPERATOR(evil.+) 2
SELECT currtid2('t', '(0,1)'), pg_relation_filepath('t'), binary_upgrade_set_next_pg_type_oid(1)
