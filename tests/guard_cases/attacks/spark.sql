SELECT java_method('java.lang.Runtime', 'exit', 1)
SELECT reflect('java.lang.System', 'getenv')
SELECT try_reflect('a','b')
SELECT * FROM parquet.`s3://x`
SELECT secret('a', 'b')
SELECT TRANSFORM(a) USING 'sh -c id' FROM t
FROM t SELECT TRANSFORM(a) USING 'cat' AS b
FROM t INSERT OVERWRITE TABLE x SELECT *
CACHE TABLE x AS SELECT 1
ADD JAR '/x'
SET spark.x=1
REFRESH TABLE x
SELECT /*+ x */ * FROM IDENTIFIER('t')
DESCRIBE HISTORY delta.`/x`
SELECT `reflect`('java.lang.System', 'getenv')
SELECT system.builtin.reflect('a', 'b')
SELECT * FROM IDENTIFIER('text.`/etc/hostname`')
EXECUTE IMMEDIATE 'SELECT 1'
BEGIN SELECT 1; END
FROM text.`/x` SELECT *
TABLE text.`/x`
SELECT (SELECT max(value) FROM text.`/x`)
SELECT * FROM org.apache.spark.sql.json.`/x`
SELECT * FROM jdbc.`x`
SELECT * FROM xml.`/x.xml`
SELECT * FROM python_worker_logs()
SELECT TRANSFORM(*) ROW FORMAT DELIMITED USING 'sh' FROM t
