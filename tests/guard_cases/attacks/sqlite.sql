SELECT load_extension('x')
SELECT load_extension('x', 'y') FROM users
SELECT writefile('x.txt', 'data')
SELECT readfile('/etc/passwd')
SELECT * FROM fsdir('/')
SELECT * FROM zipfile('x.zip')
SELECT edit('x', 'vi')
SELECT * FROM csv('x')
SELECT fts3_tokenizer('simple', x'00')
SELECT name LIKE 'x' ESCAPE '\' COLLATE evil FROM users
SELECT name LIKE 'x' ESCAPE '\' COLLATE NOCASE, load_extension('x') FROM users
SELECT any(1)
SELECT 1 = any(load_extension('x'))
SELECT 1 <> all(1, 2)
ATTACH 'x.db' AS y
ATTACH DATABASE ':memory:' AS y
DETACH y
VACUUM INTO 'x.db'
VACUUM
REINDEX users
ANALYZE users
PRAGMA journal_mode = DELETE
PRAGMA writable_schema = 1
PRAGMA hard_heap_limit = 1024
PRAGMA soft_heap_limit(1000)
PRAGMA temp_store_directory = '/tmp'
PRAGMA wal_checkpoint(TRUNCATE)
PRAGMA optimize
PRAGMA user_version = 5
PRAGMA main.user_version(5)
PRAGMA schema_version=1
PRAGMA table_info(users); DROP TABLE users
PRAGMA query_only = 0
PRAGMA trusted_schema = 1
PRAGMA case_sensitive_like = 1
PRAGMA shrink_memory
PRAGMA incremental_vacuum(5)
PRAGMA mmap_size(1000000)
PRAGMA module_list('x')
SELECT * FROM pragma_writable_schema(1)
SELECT * FROM pragma_user_version(7)
SELECT * FROM pragma_journal_mode('delete')
SELECT * FROM pragma_query_only(0)
SELECT * FROM pragma_wal_checkpoint
SELECT * FROM pragma_hard_heap_limit(1024)
SELECT * FROM pragma_optimize
SELECT * FROM dbstat
SELECT * FROM sqlite_dbpage
SELECT * FROM sqlite_dbdata
SELECT hex(zeroblob(2000000000))
SELECT randomblob(2000000000)
SELECT printf('%999999999d', 1)
SELECT printf('%.*c', 2000000000, 'x')
SELECT replace(zeroblob(900000), x'00', zeroblob(900000))
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c
WITH RECURSIVE c(x) AS (SELECT 'a' UNION ALL SELECT x || x FROM c LIMIT 60) SELECT max(length(x)) FROM c
INSERT INTO users DEFAULT VALUES
INSERT OR REPLACE INTO users(id) VALUES (1)
REPLACE INTO users(id) VALUES (1)
UPDATE OR IGNORE users SET name = 'x'
WITH x AS (SELECT 1) INSERT INTO users(id) SELECT * FROM x
WITH x AS (SELECT 1) DELETE FROM users WHERE id IN (SELECT * FROM x) RETURNING id
EXPLAIN DELETE FROM users
EXPLAIN QUERY PLAN UPDATE users SET name = 'x'
CREATE TEMP TABLE x AS SELECT 1
CREATE VIRTUAL TABLE x USING fts5(a)
CREATE TRIGGER t AFTER INSERT ON users BEGIN DELETE FROM users; END
DROP TABLE IF EXISTS users
SAVEPOINT x
RELEASE x
BEGIN EXCLUSIVE
END TRANSACTION
SELECT 1; ATTACH 'x.db' AS y
SELECT "load_extension"('x')
SELECT [load_extension]('x')
SELECT `load_extension`('x')
SELECT load_extension/**/('x')
SELECT 1 WHERE load_extension('x') IS NULL
SELECT * FROM users WHERE id IN pragma_user_version(5)
SELECT * FROM users, pragma_journal_mode('off')
SELECT '\'; DELETE FROM users; --'
SELECT "a""; DELETE FROM users; --
SELECT 1 /* */ ; DELETE FROM users /* */
SELECT 1 -- \⏎; DELETE FROM users
SELECT sqlite_compileoption_used('x'), sqlite_log(1, 'x')
SELECT sqlite_rename_table('a','b','c','d','e',1)
SELECT sqlite_drop_column(1, 'x', 2)
SELECT sqlite_fail('x')
SELECT fts5(1)
SELECT rtreecheck('x'), geopoly_debug(1)
SELECT sha3_query('DELETE FROM users')
SELECT eval('DELETE FROM users')
SELECT * FROM generate_series(1)
SELECT * FROM generate_series(1, 10000000000)
SELECT * FROM users u1, users u2, users u3, users u4
SELECT * FROM completion('x')
SELECT * FROM sqlite_stmt
SELECT * FROM bytecode('SELECT 1')
SELECT * FROM tables_used('SELECT 1')
SELECT * FROM carray(1, 2)
SELECT load_extension('/tmp/x')
SELECT * FROM pragma_journal_mode('DELETE')
SELECT * FROM orders ORDER BY (SELECT load_extension('x'))
SELECT * FROM orders LIMIT (SELECT writefile('a','b'))
SELECT [writefile]('a','b')
SELECT `edit`('x')
PRAGMA main.journal_mode(MEMORY)
PRAGMA temp_store_directory='/tmp'
SELECT fts3_tokenizer('simple')
SELECT fts5(x) FROM t
SELECT zipfile('a','b')
SELECT * FROM fsdir('/etc')
SELECT * FROM vtab_csv('/etc/passwd')
ATTACH '/tmp/x.db' AS y
INSERT INTO fts(fts) VALUES('rebuild')
WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 1 FROM x) SELECT count(*) FROM x
SELECT printf('%.*c', 999999999, 'x')
SELECT replace(hex(zeroblob(500000)), '0', hex(zeroblob(500000)))
SELECT 1;;;DROP TABLE orders
SELECT 1/*;DROP TABLE orders
