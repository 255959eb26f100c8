SELECT id, name FROM users QUALIFY ROW_NUMBER() OVER (PARTITION BY age ORDER BY id) = 1
SELECT $1, $2 FROM VALUES (1, 'a'), (2, 'b')
SELECT column1, column2 FROM (VALUES (1, 'a'), (2, 'b')) AS v
SELECT v:a.b::STRING, v['a'][0]::INT, v:"Mixed"::VARCHAR, v:a[0].b FROM docs
SELECT d.id, f.value:name::STRING, f.index FROM docs d, LATERAL FLATTEN(input => d.v:items) f
SELECT f.key, f.value FROM docs, TABLE(FLATTEN(v, recursive => true)) f
SELECT f.value FROM docs d, LATERAL FLATTEN(INPUT => d.v, PATH => 'a', OUTER => TRUE, MODE => 'ARRAY') f
SELECT * FROM orders PIVOT (SUM(amount) FOR status IN ('a', 'b')) AS p
SELECT * FROM orders PIVOT (SUM(amount) FOR status IN (ANY ORDER BY status))
SELECT * FROM orders UNPIVOT (v FOR k IN (amount, user_id))
SELECT * FROM orders SAMPLE (10)
SELECT * FROM orders TABLESAMPLE BERNOULLI (20.3) SEED (82)
SELECT * FROM orders SAMPLE (10 ROWS)
SELECT * FROM orders AT (OFFSET => -60*5)
SELECT * FROM orders AT (TIMESTAMP => '2024-01-01 00:00:00'::TIMESTAMP_LTZ)
SELECT * FROM orders BEFORE (STATEMENT => '8e5d0ca9-005e-44e6-b858-a8f5b37c5726')
SELECT * FROM orders MATCH_RECOGNIZE (PARTITION BY user_id ORDER BY created_at MEASURES FIRST(created_at) AS s, LAST(created_at) AS e, COUNT(*) AS n ONE ROW PER MATCH AFTER MATCH SKIP TO LAST up PATTERN (strt up+ down*) DEFINE up AS amount > LAG(amount), down AS amount < LAG(amount))
SELECT t.*, q.price FROM trades t ASOF JOIN quotes q MATCH_CONDITION (t.ts >= q.ts) ON t.sym = q.sym
SELECT DATE_TRUNC('month', created_at), DATEADD(day, 7, created_at), DATEDIFF('day', created_at, CURRENT_TIMESTAMP()), TO_DATE('2024-01-01'), TO_TIMESTAMP_NTZ(1), CONVERT_TIMEZONE('UTC', 'Europe/Vienna', created_at), DAYNAME(created_at), LAST_DAY(created_at), TIME_SLICE(created_at, 15, 'MINUTE'), ADD_MONTHS(created_at, 1), MONTHS_BETWEEN(created_at, created_at), created_at + INTERVAL '1 day, 3 hours', YEAROFWEEKISO(created_at) FROM orders
SELECT ARRAY_AGG(name) WITHIN GROUP (ORDER BY id), LISTAGG(name, ', ') WITHIN GROUP (ORDER BY name), OBJECT_AGG(name, id::VARIANT), ANY_VALUE(name), MODE(age), MEDIAN(age), APPROX_COUNT_DISTINCT(id), HLL(id), COUNT_IF(age > 1), BOOLOR_AGG(is_admin), SKEW(age), KURTOSIS(age), MAX_BY(name, age), MIN_BY(name, age, 2), APPROX_TOP_K(name, 3), BITAND_AGG(id), ARRAY_UNIQUE_AGG(id) FROM users
SELECT PARSE_JSON('{"a":1}'):a, TRY_PARSE_JSON('x'), OBJECT_CONSTRUCT('a', 1), ARRAY_CONSTRUCT(1, 2), ARRAY_SIZE(ARRAY_CONSTRUCT(1)), ARRAY_CONTAINS(1::VARIANT, ARRAY_CONSTRUCT(1)), GET_PATH(PARSE_JSON('{}'), 'a'), OBJECT_KEYS(PARSE_JSON('{}')), TYPEOF(PARSE_JSON('1')), IS_ARRAY(PARSE_JSON('[]')), STRIP_NULL_VALUE(PARSE_JSON('null')), {'a': 1}, [1, 2]
SELECT IFF(age > 1, 'a', 'b'), NVL(name, ''), NVL2(name, 1, 0), ZEROIFNULL(age), NULLIFZERO(age), DECODE(age, 1, 'a', 'b'), COALESCE(name, email), EQUAL_NULL(name, email), GREATEST(1, 2), DIV0(1, 0), DIV0NULL(1, 0), REGR_VALX(1, 2) FROM users
SELECT TRY_CAST('1' AS INT), '1'::NUMBER(10,2), CAST(1 AS VARCHAR), TRY_TO_NUMBER('x'), TO_VARCHAR(1.5, '999.00'), TO_DECIMAL('1.2', 10, 2), TO_BOOLEAN('t'), TRY_TO_DATE('x'), TO_CHAR(CURRENT_DATE, 'YYYY-MM')
SELECT name ILIKE '%a%', name LIKE ANY ('a%', 'b%'), name LIKE ALL ('a%'), name RLIKE 'a.*', name REGEXP 'a', REGEXP_LIKE(name, 'a', 'i'), REGEXP_SUBSTR(name, '\\w+'), REGEXP_REPLACE(name, 'a', 'b'), REGEXP_COUNT(name, 'a'), CONTAINS(name, 'a'), STARTSWITH(name, 'a'), ENDSWITH(name, 'z'), name NOT ILIKE ANY ('x%'), REGEXP_SUBSTR_ALL(name, 'a'), REGEXP_INSTR(name, 'a') FROM users
SELECT SPLIT_PART(email, '@', 2), SPLIT(email, '@'), INITCAP(name), LPAD(name, 5, '0'), SUBSTR(name, 1, 2), CHARINDEX('a', name), POSITION('a', name), TRIM(name, ' '), TRANSLATE(name, 'a', 'b'), EDITDISTANCE(name, 'x'), JAROWINKLER_SIMILARITY(name, 'x'), SOUNDEX(name), MD5(name), SHA2(name), BASE64_ENCODE(name), HEX_ENCODE(name), CONCAT_WS('-', name, email), STRTOK(name, ' ', 1), COLLATE(name, 'en-ci'), REVERSE(name), UNICODE(name), PARSE_URL('http://x.y/z'), PARSE_IP('1.2.3.4','INET') FROM users
SELECT s.value FROM users, LATERAL SPLIT_TO_TABLE(name, ' ') s
SELECT SEQ4(), UNIFORM(1, 10, RANDOM()), RANDOM(), UUID_STRING(), RANDSTR(5, RANDOM()) FROM TABLE(GENERATOR(ROWCOUNT => 10))
WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 10) SELECT * FROM c
SELECT id, name, LEVEL FROM employees START WITH manager_id IS NULL CONNECT BY manager_id = PRIOR id
SELECT SYS_CONNECT_BY_PATH(name, '/'), CONNECT_BY_ROOT name FROM employees START WITH id = 1 CONNECT BY PRIOR id = manager_id
SELECT status, SUM(amount) FROM orders GROUP BY ALL
SELECT status, user_id, SUM(amount), GROUPING(status) FROM orders GROUP BY GROUPING SETS ((status), (user_id))
SELECT status, SUM(amount) FROM orders GROUP BY CUBE (status, user_id)
SELECT * EXCLUDE (email) FROM users
SELECT * EXCLUDE email RENAME (name AS n) FROM users
SELECT * REPLACE (UPPER(name) AS name) FROM users
SELECT * ILIKE '%id%' FROM orders
SELECT TOP 10 id FROM users ORDER BY id
SELECT id FROM users LIMIT 10 OFFSET 5
SELECT id FROM users ORDER BY id FETCH FIRST 5 ROWS ONLY
SELECT id, SUM(amount) OVER (PARTITION BY user_id ORDER BY created_at ROWS BETWEEN 6 PRECEDING AND CURRENT ROW), RATIO_TO_REPORT(amount) OVER (), CONDITIONAL_TRUE_EVENT(amount > 1) OVER (ORDER BY id), LAG(amount) IGNORE NULLS OVER (ORDER BY id), WIDTH_BUCKET(amount, 0, 10, 5), CONDITIONAL_CHANGE_EVENT(status) OVER (ORDER BY id) FROM orders
SELECT SUM(amount) OVER (ORDER BY created_at RANGE BETWEEN INTERVAL '1 day' PRECEDING AND CURRENT ROW) FROM orders
SELECT TRANSFORM([1,2,3], x -> x + 1), FILTER([1,2], x INT -> x > 1), REDUCE([1,2], 0, (a, x) -> a + x), ARRAY_SORT([2,1]), ARRAY_DISTINCT([1,1]), ARRAYS_OVERLAP([1],[1]), ARRAY_TO_STRING([1],','), ARRAY_SLICE([1,2],0,1)
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY amount), APPROX_PERCENTILE(amount, 0.9), CORR(amount, user_id), STDDEV(amount), VARIANCE(amount) FROM orders
SELECT a.id FROM users a NATURAL JOIN orders b
SELECT * FROM users u LEFT JOIN LATERAL (SELECT amount FROM orders o WHERE o.user_id = u.id) o
SELECT * FROM users u, LATERAL (SELECT MAX(amount) AS m FROM orders o WHERE o.user_id = u.id) o
SELECT "id", "Mixed Case" FROM "Users"
SELECT db.public.users.id FROM db.public.users
SELECT * FROM users WHERE id IN (SELECT user_id FROM orders) AND EXISTS (SELECT 1 FROM orders WHERE user_id = users.id) AND age BETWEEN 1 AND 5 AND name IS NOT DISTINCT FROM 'x'
SELECT id FROM users MINUS SELECT user_id FROM orders
SELECT id FROM users UNION ALL BY NAME SELECT id FROM orders
SELECT VECTOR_COSINE_SIMILARITY(e, [1,2]::VECTOR(FLOAT, 2)), VECTOR_L2_DISTANCE(e, e), VECTOR_INNER_PRODUCT(e, e) FROM emb
SELECT CURRENT_USER(), CURRENT_ROLE(), CURRENT_WAREHOUSE(), CURRENT_DATABASE(), CURRENT_SCHEMA(), CURRENT_VERSION(), CURRENT_REGION(), SYSDATE(), LOCALTIMESTAMP
SELECT * FROM information_schema.columns WHERE table_name = 'USERS'
SHOW TABLES LIKE 'u%' IN SCHEMA public
SHOW COLUMNS IN TABLE users
SHOW TERSE SCHEMAS
DESCRIBE TABLE users
DESC VIEW v
EXPLAIN SELECT * FROM users
EXPLAIN USING JSON SELECT * FROM users
SELECT ST_DISTANCE(ST_MAKEPOINT(1, 2), ST_MAKEPOINT(3, 4)), ST_AREA(g), H3_LATLNG_TO_CELL(1, 2, 3), HAVERSINE(1,2,3,4) FROM places
SELECT 'it''s', 'it\'s', $$raw 'text'$$, 1e3, TRUE, DATE '2024-01-01', TIMESTAMP '2024-01-01', X'AB', 5 % 2, 'a' || 'b', 1 != 2, BITAND(1, 2)
SELECT id AS a, a + 1 AS b FROM users WHERE b > 2
SELECT id, "delete", "update", "drop" FROM audit_log
SELECT note FROM "order"
SELECT * FROM users u JOIN orders o USING (id) ORDER BY o.amount DESC NULLS LAST
SELECT HASH(*), HASH_AGG(*), COUNT(DISTINCT id, name), COUNT(u.*) FROM users u
SELECT * FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))
SELECT DATE_PART(epoch_second, created_at), EXTRACT(week FROM created_at), DATE_FROM_PARTS(2024, 1, 1), MONTHNAME(created_at), NEXT_DAY(created_at, 'mo'), TO_TIME('10:00'), TIMESTAMPDIFF(hour, created_at, created_at), CURRENT_DATE - 7 FROM orders
