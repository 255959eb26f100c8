PIVOT orders ON status USING sum(amount) ORDER BY status UNION SELECT * FROM duckdb_secrets
PIVOT orders ON status USING sum(amount) ORDER BY getenv('HOME')
PIVOT orders ON status USING sum(amount) ORDER BY ALL LIMIT (SELECT count(*) FROM 'x.csv')
PIVOT 'x.csv' ON status USING sum(amount) ORDER BY ALL
PIVOT read_csv('x.csv') ON a USING count(*) ORDER BY ALL
PIVOT orders ON status USING any_value(getenv('PATH')) ORDER BY ALL
PIVOT (SELECT * FROM read_text('/etc/passwd')) ON filename USING count(*) ORDER BY ALL
SELECT x'AB', read_text('/etc/passwd')
SELECT * FROM '/etc/passwd'
SELECT * FROM "data.parquet"
FROM 'https://example.com/x.csv'
FROM 's3://b/k.parquet'
FROM read_csv('/etc/passwd', header = false)
FROM read_csv_auto(['a.csv', 'b.csv'])
SELECT * FROM read_json_auto('x.json')
SELECT * FROM read_ndjson_objects('x')
SELECT * FROM read_text('/etc/*')
SELECT * FROM read_blob('/etc/passwd')
SELECT content FROM read_text(getenv('HOME') || '/.ssh/id_rsa')
SELECT * FROM glob('/*')
SELECT * FROM sniff_csv('x.csv')
SELECT * FROM parquet_scan('x')
SELECT * FROM parquet_metadata('x')
SELECT * FROM parquet_schema('x')
SELECT * FROM parquet_kv_metadata('x')
SELECT * FROM sqlite_scan('x.db', 't')
SELECT * FROM postgres_query('s', 'DELETE FROM users')
SELECT * FROM postgres_execute('s', 'DELETE FROM users')
SELECT * FROM mysql_query('s', 'DROP TABLE x')
SELECT * FROM iceberg_scan('x')
SELECT * FROM delta_scan('x')
SELECT * FROM st_read('x.shp')
SELECT * FROM read_xlsx('x.xlsx')
SELECT * FROM shellfs('ls |')
FROM 'ls |'
COPY users TO 'x.csv'
COPY (SELECT 1) TO '/tmp/x.parquet' (FORMAT parquet)
COPY users FROM 'x.csv'
COPY FROM DATABASE a TO b
EXPORT DATABASE 'dir'
IMPORT DATABASE 'dir'
ATTACH 'x.db' AS y
ATTACH ':memory:' AS y
ATTACH 'postgres:dbname=x' AS y (TYPE postgres)
DETACH y
INSTALL httpfs
LOAD httpfs
FORCE INSTALL spatial
UPDATE EXTENSIONS
CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')
SELECT * FROM duckdb_secrets()
SELECT which_secret('s3://x', 's3')
SELECT * FROM which_secret('s3://x', 's3')
SELECT getenv('AWS_SECRET_ACCESS_KEY')
SELECT current_setting('s3_secret_access_key')
SET enable_external_access = true
SET VARIABLE x = 1
RESET memory_limit
SET SESSION threads TO 1
PRAGMA enable_profiling
PRAGMA profile_output='/tmp/x'
PRAGMA threads=1
PRAGMA memory_limit='1GB'
PRAGMA temp_directory='/tmp/x'
PRAGMA enable_checkpoint_on_shutdown
PRAGMA create_fts_index('users', 'id', 'name')
PRAGMA import_database('dir')
PRAGMA add_parquet_key('k', 'x')
CALL pragma_version()
CALL start_ui()
CALL load_aws_credentials()
CHECKPOINT
FORCE CHECKPOINT
VACUUM ANALYZE
SELECT nextval('s')
SELECT query('DROP TABLE users')
FROM query('SELECT 1')
FROM query_table('users')
SELECT * FROM query_table(['users', 'x.csv'])
SELECT * FROM json_execute_serialized_sql('{}')
SELECT * FROM from_substrait('x'::BLOB)
SELECT * FROM from_substrait_json('x')
SELECT * FROM sql_auto_complete('x')
SELECT setseed(0.5)
SELECT write_log('x')
SELECT * FROM enable_logging()
SELECT * FROM duckdb_logs()
SELECT * FROM arrow_scan(1, 2, 3)
SELECT * FROM pandas_scan(12345)
SELECT * FROM arrow_scan_dumb(1,2,3)
SELECT * FROM seq_scan('x')
SELECT * FROM repeat_row(1, 2, num_rows = 100000000000)
SELECT * FROM range(100000000000) t(i) ORDER BY i
SELECT list_transform(range(10000000000), lambda x: x)
SELECT repeat('x', 10000000000)
SELECT * FROM users WHERE name = (SELECT content FROM read_text('/etc/passwd'))
SELECT ['/etc/passwd'].list_transform(lambda x: getenv(x))
SELECT 'HOME'.getenv()
SELECT ('x').read_text()
WITH t AS (FROM 'x.csv') FROM t
WITH t AS (SELECT 1), u AS (DELETE FROM users RETURNING *) SELECT * FROM u
SELECT * FROM (INSERT INTO users VALUES (9) RETURNING *)
SELECT * FROM users; FROM 'x.csv'
SUMMARIZE 'x.csv'
SUMMARIZE FROM 'x.csv'
DESCRIBE 'x.csv'
DESCRIBE FROM read_csv('x')
DESCRIBE TABLE 'x.csv'
SHOW 'x.csv'
EXPLAIN COPY users TO 'x'
EXPLAIN ANALYZE DELETE FROM users
EXPLAIN ANALYZE FROM 'x.csv'
EXPLAIN (FORMAT json) INSERT INTO users VALUES (1)
PREPARE p AS SELECT 1
EXECUTE p
USE memory
BEGIN READ ONLY
CREATE MACRO f(a) AS a
CREATE OR REPLACE TEMP VIEW v AS SELECT 1
COMMENT ON TABLE users IS 'x'
ALTER DATABASE a SET ALIAS TO b
MERGE INTO users USING orders ON users.id = orders.id WHEN MATCHED THEN DELETE
TRUNCATE users
SELECT * FROM users AT (VERSION => getenv('X'))
UNPIVOT 'x.csv' ON * INTO NAME a VALUE b
SELECT * FROM (UNPIVOT read_csv('x') ON * INTO NAME a VALUE b)
SELECT COLUMNS(c -> getenv(c) IS NULL) FROM users
SELECT * REPLACE (getenv('HOME') AS name) FROM users
SELECT * FROM users POSITIONAL JOIN 'x.csv'
SELECT * FROM users ASOF JOIN read_csv('x') r ON users.id >= r.id
SELECT * FROM users USING SAMPLE 5; DROP TABLE users
SELECT MAP {'a': getenv('HOME')}
SELECT {'a': getenv('HOME')}
SELECT [getenv(x) FOR x IN ['HOME']]
SELECT x: getenv('HOME')
SELECT max(getenv('HOME')) FILTER (getenv('A') IS NULL) FROM users
VALUES (getenv('HOME'))
SELECT 1 LIMIT (SELECT length(getenv('HOME')))
SELECT $$a$$; DROP TABLE users; SELECT $$b$$
SELECT (SELECT getvariable('x') FROM read_text('/etc/passwd'))
SELECT * FROM orders ORDER BY (SELECT content FROM read_blob('/etc/passwd'))
SELECT * FROM orders LIMIT (SELECT count(*) FROM glob('/etc/*'))
SELECT * FROM orders WHERE id IN (FROM 'https://x.org/a.parquet')
FROM parquet_metadata('/tmp/x.parquet')
FROM parquet_kv_metadata('s3://b/x')
SELECT * FROM query('DROP TABLE orders')
SELECT * FROM query_table('/etc/passwd')
SELECT * FROM query_table(['orders', 'read_csv'])
WITH x AS MATERIALIZED (SELECT nextval('seq')) FROM x
FROM pragma_storage_info('orders'), checkpoint('db')
SELECT pg_catalog.set_config('a','b',false)
FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))
SELECT json_serialize_sql('x'), json_deserialize_sql('y') FROM json_execute_serialized_sql('z')
PRAGMA enable_profiling='json'
PRAGMA import_database('/tmp/x')
FROM read_json_objects_auto('/etc/passwd')
FROM 'http://169.254.169.254/latest/meta-data.csv'
SELECT x.* FROM orders POSITIONAL JOIN 'a.parquet' x
FROM "x.csv.gz"
PIVOT 'a.csv' ON x USING sum(y)
SUMMARIZE 'a.parquet'
DESCRIBE FROM 'a.parquet'
EXPLAIN ANALYZE FROM read_csv('/etc/passwd')
SELECT list_transform([1], x -> (SELECT content FROM read_text('/etc/passwd')))
SELECT [(FROM read_text('/etc/passwd')) FOR i IN [1]]
SELECT 'a'.read_text()
SELECT * FROM orders QUALIFY (SELECT true FROM read_csv('x'))
SELECT sum(id) OVER (ORDER BY (SELECT 1 FROM read_csv('x'))) FROM orders
SELECT COLUMNS(c -> getenv(c) = 'x') FROM orders
FROM sqlite_scan('/tmp/x.db','t')
FROM postgres_query('db', 'DELETE FROM x')
FROM mysql_query('db', 'x')
FROM st_read('/tmp/x.shp')
CALL enable_logging('QueryLog')
SELECT * FROM orders; COPY orders TO 'x.csv'
SELECT/**/1/*;*/;/**/ATTACH 'x.db'
FROM duckdb_external_file_cache()
SELECT * FROM orders AT (VERSION => 3), read_parquet('x')
