FROM users
FROM users SELECT name WHERE id > 3
FROM users WHERE id > 3
SELECT * EXCLUDE (email) FROM users
SELECT * REPLACE (upper(name) AS name) FROM users
SELECT * RENAME (name AS n) FROM users
SELECT COLUMNS('.*_id') FROM orders
SELECT min(COLUMNS(*)), max(COLUMNS(* EXCLUDE (status))) FROM orders
SELECT COLUMNS(c -> c LIKE '%id%') FROM orders
SELECT status, sum(amount) FROM orders GROUP BY ALL ORDER BY ALL
SELECT user_id, amount FROM orders QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY amount DESC) <= 2
SELECT * FROM orders USING SAMPLE 10%
SELECT * FROM orders USING SAMPLE reservoir(50 ROWS) REPEATABLE (100)
SELECT * FROM orders TABLESAMPLE 5 PERCENT (bernoulli)
SELECT * FROM (PIVOT orders ON status USING sum(amount) GROUP BY user_id)
PIVOT orders ON status USING sum(amount) GROUP BY user_id
PIVOT orders ON status IN ('a','b') USING sum(amount) AS total, count(*) AS n GROUP BY user_id ORDER BY user_id LIMIT 3
PIVOT orders ON year(created_at) USING sum(amount) ORDER BY ALL
WITH p AS (PIVOT orders ON status USING sum(amount)) SELECT * FROM p
UNPIVOT (SELECT id, amount, user_id FROM orders) ON amount, user_id INTO NAME k VALUE v
UNPIVOT orders ON COLUMNS(* EXCLUDE (id, status, created_at)) INTO NAME k VALUE v
SELECT * FROM orders UNPIVOT (v FOR k IN (amount, user_id))
SELECT * FROM orders PIVOT (sum(amount) FOR status IN ('a', 'b') GROUP BY user_id)
SELECT a.*, b.amount FROM users a ASOF JOIN orders b ON a.id = b.user_id AND a.created_at >= b.created_at
SELECT * FROM users ASOF LEFT JOIN orders USING (id, created_at)
SELECT * FROM users POSITIONAL JOIN orders
SELECT * FROM users SEMI JOIN orders ON users.id = orders.user_id
SELECT * FROM users ANTI JOIN orders ON users.id = orders.user_id
SELECT [1,2,3][1], [1,2,3][1:2], [1,2,3][-1], {'a': 1, 'b': [2]}.b[1], MAP {'x': 1}['x'], struct_pack(a := 1).a
SELECT [x * 2 FOR x IN [1,2,3] IF x > 1]
SELECT list_transform([1,2,3], lambda x: x + 1), list_filter([1,2], lambda x: x > 1), list_reduce([1,2], lambda a, b: a + b)
SELECT unnest([1,2,3]) AS x, unnest({'a': 1, 'b': 2}), unnest([[1],[2]], recursive := true)
SELECT unnest(range(5)) AS i, generate_series(1, 3), generate_subscripts([1,2], 1)
SELECT * FROM range(5) t(i), generate_series(1, 3) s(j)
SELECT name.upper().substring(1, 2) FROM users
SELECT ('a' || name).trim().len() FROM users
SELECT strftime(created_at, '%Y-%m'), strptime('2024-01-01', '%Y-%m-%d'), date_trunc('week', created_at), date_diff('day', created_at, now()), time_bucket(INTERVAL '15 minutes', created_at), epoch(created_at), make_date(2024,1,1), monthname(created_at) FROM orders
SELECT created_at + INTERVAL 3 MONTH, created_at - to_days(3), created_at::DATE + 1, INTERVAL (user_id) DAY FROM orders
SELECT arg_max(name, id), arg_min(name, id), max_by(name, id), any_value(name), first(name ORDER BY id), last(name), list(name ORDER BY id DESC), histogram(id), approx_count_distinct(id), approx_quantile(id, 0.5), quantile_cont(id, [0.1, 0.9]), median(id), mode(name), entropy(id), kurtosis(id), mad(id) FROM users
SELECT max(amount, 3), min(amount, 2), arg_max(id, amount, 3) FROM orders
SELECT regexp_matches(name, 'a+'), regexp_extract(name, '(\w+)', 1), regexp_replace(name, 'a', 'b', 'g'), regexp_extract_all(name, '\d'), name SIMILAR TO 'a.*', name ~~ 'a%', name GLOB 'a*', name ~ 'x' FROM users
SELECT jaro_winkler_similarity(name, 'ann'), levenshtein(name, 'b'), damerau_levenshtein(name, 'c'), hamming('ab','cd'), jaccard('a','b') FROM users
SELECT '{"a": [1]}'::JSON -> '$.a[0]', json_extract_string('{"a":1}', '$.a'), '{"a":1}'::JSON ->> 'a', json_keys('{"a":1}'), json_structure('{"a":1}'), json_transform('{"a":1}', '{"a":"INT"}'), to_json({'a': 1}), json_group_array(id) FROM users
SELECT * FROM json_each('{"a":1}')
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT * FROM t
WITH RECURSIVE t(k, v) USING KEY (k) AS (SELECT 1, 0 UNION ALL SELECT k, v + 1 FROM t WHERE v < 5) SELECT * FROM t
SELECT id, sum(amount) OVER w, avg(amount) OVER (w ROWS 2 PRECEDING) FROM orders WINDOW w AS (PARTITION BY user_id ORDER BY created_at)
SELECT lag(amount IGNORE NULLS) OVER (ORDER BY id), first_value(amount IGNORE NULLS) OVER (ORDER BY id), fill(amount) OVER (ORDER BY id) FROM orders
SELECT status, grouping_id(status), sum(amount) FROM orders GROUP BY ROLLUP (status)
SELECT count() FROM orders
SELECT count_if(amount > 1), sum(amount) FILTER (status = 'x'), sum(amount) FILTER (WHERE status = 'x'), product(id), geomean(amount), favg(amount), fsum(amount) FROM orders
SELECT id AS a, a + 1 AS b FROM users WHERE b > 3
SELECT 'x' AS a, FROM users
SELECT x: 42, y: id + 1 FROM users
SELECT id, name, FROM users ORDER BY name DESC NULLS FIRST LIMIT 10 OFFSET 5
SELECT * FROM users LIMIT 10%
SELECT * FROM users UNION BY NAME SELECT id, 'x' AS extra FROM orders
SELECT * FROM users UNION ALL BY NAME SELECT id, 'x' AS extra FROM orders
VALUES (1, 'a'), (2, 'b')
DESCRIBE users
DESCRIBE SELECT * FROM users
SUMMARIZE users
SUMMARIZE SELECT amount FROM orders
SHOW TABLES
SHOW ALL TABLES
SHOW users
EXPLAIN SELECT * FROM users
EXPLAIN ANALYZE SELECT count(*) FROM users
PRAGMA table_info('users')
PRAGMA database_size
SELECT * FROM duckdb_tables()
SELECT * FROM pragma_table_info('users')
SELECT current_date, current_timestamp, today(), get_current_timestamp(), current_schema(), version(), current_database()
SELECT 1_000_000, 0xFF, 1e3, 'it''s', E'\n', $$x$$, x'AB', '\xAA'::BLOB, 0b11
SELECT typeof(1), cast(1 AS HUGEINT), 1::UTINYINT, 'a'::VARCHAR(3), '2024-01-01'::TIMESTAMPTZ, 1::DECIMAL(10,2), [1]::INT[3], NULL::STRUCT(a INT, b VARCHAR), NULL::MAP(VARCHAR, INT), NULL::UNION(a INT, b VARCHAR)
SELECT array_cosine_similarity([1,2]::FLOAT[2], [3,4]::FLOAT[2]), list_cosine_similarity([1,2],[2,3]), array_distance([1,2]::FLOAT[2], [3,4]::FLOAT[2]), list_dot_product([1,2],[2,3])
SELECT * FROM users t1 JOIN orders t2 ON t1.id = t2.user_id AND t2.amount BETWEEN 1 AND 5 WHERE (t1.id, t2.id) IN (SELECT 1, 2)
SELECT alias(id), typeof(COLUMNS(*)) FROM users
SELECT nullif(name, ''), ifnull(name, 'x'), coalesce(name, email), if(id > 1, 'a', 'b'), CASE id WHEN 1 THEN 'a' END FROM users
SELECT printf('%d', id), format('{} {}', id, name), format('{:,}', 1234), concat_ws('-', id, name), string_split(name, ' '), list_aggregate([1,2], 'sum'), array_to_string([1,2], ','), lpad(name, 5, '0'), bar(id, 0, 10, 20), strip_accents(name), chr(65), md5(name), sha256(name), hash(id), uuid() FROM users
SELECT row_number() OVER (), rank() OVER (ORDER BY id), ntile(3) OVER (ORDER BY id), cume_dist() OVER (ORDER BY id) FROM users
SELECT d.i FROM users u, LATERAL (SELECT u.id + 1 AS i) d
SELECT * FROM (FROM users) t
FROM (FROM users WHERE id > 1) SELECT count(*)
FROM users u JOIN orders o ON u.id = o.user_id SELECT u.name, sum(o.amount) GROUP BY u.name ORDER BY 2 DESC LIMIT 3
SELECT unnest(string_split('a,b', ',')) AS s, #1 FROM users
SELECT variant_typeof(1::VARIANT)
SELECT sum(DISTINCT amount), string_agg(status, ',' ORDER BY id), group_concat(status), bit_xor(id), bool_or(amount > 1), covar_pop(id, amount), regr_r2(id, amount) FROM orders
SELECT year(created_at), quarter(created_at), dayname(created_at), week(created_at), yearweek(created_at), last_day(created_at), datepart('hour', created_at), extract('dow' FROM created_at), age(created_at), century(created_at) FROM orders
SELECT 5! AS f, (2 + 3)! AS g
