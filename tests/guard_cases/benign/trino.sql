SELECT id, name FROM hive.default.users WHERE name LIKE 'a%' ESCAPE '\'
SELECT * FROM orders TABLESAMPLE BERNOULLI (10)
SELECT * FROM orders TABLESAMPLE SYSTEM (10)
SELECT u.id, t FROM users u CROSS JOIN UNNEST(u.tags) AS x(t)
SELECT u.id, t, n FROM users u CROSS JOIN UNNEST(u.tags) WITH ORDINALITY AS x(t, n)
SELECT * FROM UNNEST(ARRAY[1,2], ARRAY['a','b']) AS t(a, b)
SELECT * FROM users u LEFT JOIN UNNEST(u.tags) AS x(t) ON TRUE
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(n, s)
VALUES 1, 2, 3
TABLE users
SELECT status, user_id, sum(amount), grouping(status, user_id) FROM orders GROUP BY GROUPING SETS ((status), (user_id), ())
SELECT status, sum(amount) FROM orders GROUP BY CUBE (status, user_id)
SELECT status, sum(amount) FROM orders GROUP BY AUTO
SELECT count(*) FILTER (WHERE status = 'x'), count_if(amount > 1), approx_distinct(user_id), approx_percentile(amount, 0.5), approx_percentile(amount, ARRAY[0.1,0.9]), max_by(id, amount), min_by(id, amount, 3), max(amount, 3), arbitrary(id), any_value(id), array_agg(id ORDER BY id), map_agg(id, amount), histogram(status), listagg(status, ',') WITHIN GROUP (ORDER BY id), listagg(status, ',' ON OVERFLOW TRUNCATE '...' WITH COUNT) WITHIN GROUP (ORDER BY id), checksum(id), geometric_mean(amount), bool_and(amount > 1), corr(id, amount), numeric_histogram(5, amount), multimap_agg(id, amount), approx_most_frequent(3, status, 10), reduce_agg(id, 0, (a, b) -> a + b, (a, b) -> a + b) FROM orders
SELECT date_trunc('month', created_at), date_add('day', 7, created_at), date_diff('day', created_at, now()), created_at + INTERVAL '1' DAY, created_at AT TIME ZONE 'Europe/Vienna', date_format(created_at, '%Y-%m'), date_parse('2024', '%Y'), format_datetime(created_at, 'YYYY'), from_unixtime(1), to_unixtime(created_at), from_iso8601_timestamp('2024-01-01T00:00:00Z'), extract(DOW FROM created_at), day_of_week(created_at), year_of_week(created_at), last_day_of_month(created_at), current_date, localtimestamp, at_timezone(created_at, 'UTC'), with_timezone(created_at, 'UTC'), year(created_at), week(created_at), parse_datetime('2024','yyyy'), human_readable_seconds(5), date('2024-01-01'), to_iso8601(created_at) FROM orders
SELECT TRY_CAST('x' AS integer), TRY(1/0), CAST(ROW(1, 'a') AS ROW(x bigint, y varchar)).x, CAST(1 AS decimal(10,2)), typeof(1), format('%s-%05d', name, id), CAST(MAP(ARRAY['a'], ARRAY[1]) AS JSON) FROM users
SELECT json_extract_scalar(doc, '$.a'), json_extract(doc, '$.b'), json_parse('{}'), json_format(JSON '{}'), json_array_length(doc), json_size(doc, '$.a'), CAST(json_parse('[1]') AS array(integer)), json_value(doc, 'lax $.a' RETURNING bigint DEFAULT 0 ON EMPTY), json_query(doc, 'lax $.b' WITH ARRAY WRAPPER), json_exists(doc, 'lax $.a'), json_object('a' : 1), json_array(1, 2), is_json_scalar('1'), json_array_get('[1]', 0) FROM docs
SELECT * FROM docs, JSON_TABLE(doc, 'lax $[*]' COLUMNS (a bigint PATH 'lax $.a', n FOR ORDINALITY)) AS t
SELECT ARRAY[1,2][1], element_at(ARRAY[1], 5), ARRAY[1] || ARRAY[2], cardinality(ARRAY[1]), contains(ARRAY[1], 1), transform(ARRAY[1], x -> x + 1), filter(ARRAY[1], x -> x > 0), reduce(ARRAY[1], 0, (s, x) -> s + x, s -> s), any_match(ARRAY[1], x -> x > 0), zip(ARRAY[1], ARRAY[2]), slice(ARRAY[1,2], 1, 1), array_sort(ARRAY[2,1]), array_distinct(ARRAY[1]), array_join(ARRAY['a'], ','), flatten(ARRAY[ARRAY[1]]), sequence(1, 10), sequence(DATE '2024-01-01', DATE '2024-02-01', INTERVAL '1' DAY), array_max(ARRAY[1]), ngrams(ARRAY[1,2], 2), combinations(ARRAY[1,2], 2), zip_with(ARRAY[1], ARRAY[2], (x, y) -> x + y), arrays_overlap(ARRAY[1], ARRAY[1]), shuffle(ARRAY[1]), array_position(ARRAY[1],1), array_intersect(ARRAY[1],ARRAY[1]), none_match(ARRAY[1], x -> x > 5), trim_array(ARRAY[1,2],1), array_histogram(ARRAY[1])
SELECT map(ARRAY['a'], ARRAY[1])['a'], map_keys(m), map_values(m), map_entries(m), map_filter(m, (k, v) -> v > 1), transform_values(m, (k, v) -> v + 1), map_concat(m, m), map_from_entries(ARRAY[(1, 'a')]), multimap_from_entries(ARRAY[(1, 'a')]), split_to_map('a=1', ',', '='), transform_keys(m, (k, v) -> upper(k)), map_zip_with(m, m, (k, a, b) -> a) FROM t
SELECT regexp_like(name, '^a'), regexp_extract(name, '(\w+)', 1), regexp_replace(name, 'a', 'b'), regexp_extract_all(name, '\d'), regexp_split(name, ' '), regexp_count(name, 'a'), regexp_position(name, 'a'), split(name, ' '), split_part(email, '@', 2), strpos(name, 'a'), position('a' IN name), substr(name, 1, 2), levenshtein_distance(name, 'a'), hamming_distance('a', 'b'), soundex(name), lpad(name, 5, '0'), replace(name, 'a'), reverse(name), normalize(name, NFC), word_stem(name), translate(name, 'a', 'b'), trim(BOTH 'x' FROM name), starts_with(name, 'a'), concat_ws(',', name, email), to_utf8(name), from_utf8(to_utf8(name)), md5(to_utf8(name)), sha256(to_utf8(name)), to_hex(to_utf8('a')), to_base64(to_utf8('a')), url_extract_host('http://a'), codepoint('a'), chr(65), xxhash64(to_utf8('a')), luhn_check('1'), url_encode('a') FROM users
SELECT * FROM orders MATCH_RECOGNIZE (PARTITION BY user_id ORDER BY created_at MEASURES A.amount AS start_amount, LAST(B.amount) AS bottom, MATCH_NUMBER() AS m, CLASSIFIER() AS c ALL ROWS PER MATCH AFTER MATCH SKIP PAST LAST ROW PATTERN (A B+ C+) SUBSET U = (B, C) DEFINE B AS B.amount < PREV(B.amount), C AS C.amount > PREV(C.amount)) AS m
SELECT id, sum(amount) OVER w, lag(amount, 1) IGNORE NULLS OVER w, nth_value(amount, 2) OVER w FROM orders WINDOW w AS (PARTITION BY user_id ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
SELECT sum(amount) OVER (ORDER BY created_at RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW) FROM orders
SELECT sum(amount) OVER (ORDER BY id GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM orders
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 4) SELECT sum(n) FROM t
WITH a AS (SELECT * FROM users) SELECT * FROM a JOIN orders o ON a.id = o.user_id
SELECT * FROM iceberg.db.orders FOR VERSION AS OF 123456
SELECT * FROM iceberg.db.orders FOR TIMESTAMP AS OF TIMESTAMP '2024-01-01 00:00:00 UTC'
SELECT * FROM iceberg.db."orders$snapshots"
SELECT * FROM orders OFFSET 5 ROWS FETCH FIRST 5 ROWS ONLY
SELECT * FROM orders ORDER BY amount DESC NULLS LAST FETCH FIRST ROW WITH TIES
SELECT * FROM orders OFFSET 5 LIMIT 10
SELECT * FROM users u CROSS JOIN LATERAL (SELECT max(amount) AS m FROM orders o WHERE o.user_id = u.id) x
SELECT (SELECT count(*) FROM orders o WHERE o.user_id = u.id) FROM users u WHERE EXISTS (SELECT 1 FROM orders) AND id = ANY (SELECT 1) AND id > ALL (VALUES 1, 2) AND (id, name) IN (SELECT 1, 'a')
SELECT if(id > 1, 'a', 'b'), if(id > 1, 'a'), coalesce(name, email), nullif(name, ''), CASE WHEN id > 1 THEN 1 END, greatest(1, 2), least(1, 2), name IS DISTINCT FROM 'x', id BETWEEN 1 AND 2, name IS NOT NULL FROM users
SELECT id FROM users INTERSECT SELECT user_id FROM orders EXCEPT SELECT 3 UNION ALL SELECT 4
SELECT id FROM users INTERSECT ALL SELECT user_id FROM orders
SELECT 'a' || 'b', 5 % 2, -id, U&'\0041', X'AB', DATE '2024-01-01', TIME '10:00', TIMESTAMP '2024-01-01 00:00:00 UTC', INTERVAL '2' MONTH, DECIMAL '1.5', 1E3, TRUE, CHAR 'x', BIGINT '1', JSON '{}', REAL '1.5', DOUBLE '1', 0x1F, 0b11, 1_000, IPADDRESS '10.0.0.1', UUID '12151fd2-7586-11e9-8f9e-2a86e4085a59' FROM users
SELECT round(1.5, 1), ceil(1.2), ceiling(1.2), floor(1.2), truncate(1.5), power(2, 3), pow(2,3), sqrt(4), cbrt(8), ln(2), log(2, 8), log2(8), log10(100), rand(), random(1, 10), sign(-1), abs(-1), mod(5, 2), pi(), e(), width_bucket(1, 0, 10, 5), bitwise_and(1, 2), bit_count(5, 64), cosine_similarity(MAP(ARRAY['a'], ARRAY[1.0]), MAP(ARRAY['a'], ARRAY[1.0])), from_base('a', 16), is_nan(nan()), infinity(), degrees(1), normal_cdf(0,1,1), wilson_interval_lower(1,2,1), euclidean_distance(ARRAY[1.0],ARRAY[2.0])
SELECT ST_Distance(ST_Point(1, 2), ST_Point(3, 4)), ST_Contains(ST_GeometryFromText('POLYGON ((0 0, 0 1, 1 1, 0 0))'), ST_Point(1, 2)), great_circle_distance(1, 2, 3, 4), ST_AsText(ST_Point(1,2)), to_spherical_geography(ST_Point(1,2)), bing_tile_at(1, 2, 3)
SELECT merge(cast(approx_set(id) AS HyperLogLog)), cardinality(approx_set(id)), tdigest_agg(amount), value_at_quantile(tdigest_agg(amount), 0.5), qdigest_agg(id) FROM orders
SHOW TABLES
SHOW TABLES FROM hive.default LIKE 'u%'
SHOW SCHEMAS FROM hive
SHOW CATALOGS
SHOW COLUMNS FROM users
SHOW CREATE TABLE users
SHOW FUNCTIONS
SHOW STATS FOR users
SHOW SESSION
DESCRIBE users
EXPLAIN SELECT * FROM users
EXPLAIN (TYPE LOGICAL, FORMAT JSON) SELECT * FROM users
EXPLAIN ANALYZE SELECT * FROM users
SELECT * FROM information_schema.columns WHERE table_schema = 'default'
SELECT id, "delete", "update", "drop" FROM audit_log
SELECT o.note FROM "order" o
SELECT current_user, current_catalog, current_schema, version(), current_timezone(), uuid(), now()
SELECT "$path", "$file_size" FROM hive.default.users
SELECT * FROM TABLE(sequence(start => 1, stop => 10))
SELECT count(DISTINCT (id, name)), sum(DISTINCT id), count(DISTINCT id) FROM users
SELECT a.x, b.y FROM users a FULL JOIN orders b USING (id) NATURAL JOIN products
SELECT name AS "User Name" FROM users u ORDER BY 1 ASC, lower(name) DESC LIMIT ALL
SELECT bar(0.5, 10)
