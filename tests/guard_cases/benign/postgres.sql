SELECT u.id, o.amount FROM users u CROSS JOIN LATERAL (SELECT amount FROM orders WHERE user_id = u.id ORDER BY amount DESC LIMIT 3) o
SELECT status, user_id, sum(amount) FROM orders GROUP BY GROUPING SETS ((status), (user_id), ())
SELECT status, user_id, sum(amount), grouping(status, user_id) FROM orders GROUP BY ROLLUP (status, user_id)
SELECT status, sum(amount) FROM orders GROUP BY CUBE (status, user_id) HAVING sum(amount) > 10
SELECT id, first_value(amount) OVER w, nth_value(amount, 2) OVER w FROM orders WINDOW w AS (PARTITION BY user_id ORDER BY created_at ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE TIES)
SELECT id, sum(amount) OVER (ORDER BY created_at RANGE BETWEEN INTERVAL '7 days' PRECEDING AND CURRENT ROW) FROM orders
SELECT id, sum(amount) OVER (ORDER BY id GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM orders
SELECT count(*) FILTER (WHERE status = 'paid') AS paid, avg(amount) FILTER (WHERE status <> 'paid') FROM orders
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount), mode() WITHIN GROUP (ORDER BY status) FROM orders
SELECT percentile_cont(ARRAY[0.25,0.5,0.75]) WITHIN GROUP (ORDER BY amount) FROM orders
SELECT DISTINCT ON (user_id) user_id, amount FROM orders ORDER BY user_id, created_at DESC NULLS LAST
SELECT '{"a": {"b": [1,2]}}'::jsonb #>> '{a,b,0}', '{"a":1}'::jsonb -> 'a', '{"a":1}'::jsonb ->> 'a', '{"a":1}'::jsonb ? 'a'
SELECT '{"a":1}'::jsonb @> '{"a":1}', '["a","b"]'::jsonb ?| array['a'], '["a"]'::jsonb ?& array['a'], '{"a":1,"b":2}'::jsonb - 'a', '{"a":[1]}'::jsonb #- '{a,0}'
SELECT jsonb_path_query('{"a":[1,2,3]}', '$.a[*] ? (@ > 1)'), '{"a":[1]}'::jsonb @? '$.a[*]', '{"a":1}'::jsonb @@ '$.a == 1'
SELECT * FROM jsonb_to_recordset('[{"a":1,"b":"x"}]'::jsonb) AS r(a int, b text)
SELECT key, value FROM users u, jsonb_each(to_jsonb(u))
SELECT u.name, t.tag, t.ord FROM users u, unnest(string_to_array(u.name, ' ')) WITH ORDINALITY AS t(tag, ord)
SELECT array_agg(name ORDER BY name DESC), (array_agg(id))[1:2], array_length(array_agg(id), 1) FROM users
SELECT * FROM users WHERE id = ANY (ARRAY[1,2,3]) AND name <> ALL ('{a,b}'::text[])
SELECT ARRAY[1,2] || 3, ARRAY[1,2] && ARRAY[2], ARRAY[1,2] @> ARRAY[1], 1 = ANY(ARRAY[1]), ARRAY(SELECT id FROM users)
SELECT '[2024-01-01,2024-02-01)'::daterange @> '2024-01-05'::date, int4range(1,5) && int4range(4,9), int4range(1,5) -|- int4range(5,6), lower(int4range(1,5)), upper_inf(int4range(1,null))
SELECT range_agg(int4range(id, id + 1)) FROM users
SELECT name FROM users WHERE name ~* '^a.*z$' OR name !~ 'x' OR name SIMILAR TO '(a|b)%' OR name ILIKE '%q%' OR name ^@ 'A'
SELECT regexp_matches(name, '(\w+) (\w+)', 'g'), regexp_split_to_array(name, '\s+'), substring(name from '^\w+'), regexp_count(name, 'a') FROM users
SELECT to_tsvector('english', name) @@ plainto_tsquery('english', 'ann & bob'), ts_rank(to_tsvector(name), to_tsquery('ann')), ts_headline(name, to_tsquery('a')) FROM users
SELECT now() AT TIME ZONE 'Europe/Vienna', timezone('UTC', created_at), date_trunc('month', created_at), extract(isodow FROM created_at), age(created_at), date_part('year', created_at) FROM users
SELECT created_at + INTERVAL '1 year 2 months', created_at - INTERVAL '3' DAY, make_interval(days => 10), justify_interval('35 days'), date_bin('15 minutes', created_at, TIMESTAMP '2001-01-01') FROM users
SELECT (created_at, created_at + interval '1 day') OVERLAPS (now(), now() + interval '2 days') FROM users
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t
WITH RECURSIVE g(id, path) AS (SELECT id, ARRAY[id] FROM users UNION ALL SELECT o.user_id, path || o.user_id FROM orders o JOIN g ON o.id = g.id WHERE NOT o.user_id = ANY(path)) SEARCH DEPTH FIRST BY id SET ordercol SELECT * FROM g
WITH RECURSIVE g AS (SELECT id, user_id FROM orders UNION ALL SELECT o.id, o.user_id FROM orders o JOIN g ON o.id = g.user_id) CYCLE id SET is_cycle USING path SELECT * FROM g
WITH a AS MATERIALIZED (SELECT * FROM users), b AS NOT MATERIALIZED (SELECT * FROM orders) SELECT * FROM a JOIN b ON a.id = b.user_id
VALUES (1, 'a'), (2, 'b') ORDER BY 1 DESC LIMIT 1
SELECT * FROM (VALUES (1, 'x'), (2, 'y')) AS v(n, s) NATURAL JOIN (SELECT 1 AS n) q
TABLE users ORDER BY id LIMIT 5
SELECT * FROM orders TABLESAMPLE SYSTEM (10) REPEATABLE (42)
SELECT * FROM orders TABLESAMPLE BERNOULLI (5)
SELECT id FROM orders ORDER BY amount DESC FETCH FIRST 5 ROWS WITH TIES
SELECT id FROM orders ORDER BY id OFFSET 5 ROWS FETCH NEXT 5 ROWS ONLY
SELECT name COLLATE "C", name < 'b' COLLATE "de_DE" FROM users ORDER BY name COLLATE "en_US"
SELECT ROW(1,'a') = ROW(1,'b'), (id, name) IN (SELECT id, name FROM users), (u).name, (u).* FROM users u
SELECT CASE WHEN amount BETWEEN SYMMETRIC 10 AND 1 THEN 'a' ELSE 'b' END FROM orders
SELECT user_id FROM orders INTERSECT ALL SELECT id FROM users EXCEPT SELECT 3
SELECT x.* FROM xmltable('/r/i' PASSING '<r><i a="1"/></r>'::xml COLUMNS a int PATH '@a') AS x
SELECT xmlelement(name foo, xmlattributes(id AS bar), name), xmlforest(id, name), xpath('/a/text()', '<a>1</a>'::xml) FROM users
SELECT json_build_object('id', id, 'n', name), row_to_json(u), json_agg(u ORDER BY id), json_object_agg(id, name) FROM users u GROUP BY u.id, u.name, u
SELECT string_agg(DISTINCT name, ', ' ORDER BY name) FROM users
SELECT corr(amount, user_id), regr_slope(amount, user_id), stddev_samp(amount), bool_and(amount > 0), every(amount > 0), bit_or(user_id) FROM orders
SELECT ntile(4) OVER (ORDER BY amount), cume_dist() OVER (ORDER BY amount), percent_rank() OVER (ORDER BY amount), lag(amount, 1, 0) OVER (ORDER BY id) FROM orders
SELECT * FROM ROWS FROM (generate_series(1,3), unnest(ARRAY['a','b'])) WITH ORDINALITY AS t(a, b, n)
SELECT generate_series('2024-01-01'::date, '2024-03-01', '1 month')::date AS month
SELECT 5 # 3, ~1, 1 << 2, 2 ^ 3, 5 % 2, |/ 25.0, ||/ 27.0, @ -5.0
SELECT point(1,2) <-> point(3,4), box '((0,0),(1,1))' && box '((1,1),(2,2))', circle '((0,0),1)' @> point '(0,0)'
SELECT * FROM users ORDER BY name USING <
SELECT * FROM users ORDER BY id USING > LIMIT 3
SELECT id FROM items_embedding ORDER BY embedding <=> '[1,2,3]' LIMIT 5
SELECT id, embedding <-> '[1,2]' AS d, embedding <#> '[1,2]' AS ip, embedding <+> '[1,2]' AS l1 FROM e WHERE embedding <=> '[1,2]' < 0.3
SELECT name % 'ann', name <-> 'ann', similarity(name, 'ann'), 'ann' <% name, word_similarity('a', name) FROM users
SELECT inet '192.168.1.5' << inet '192.168.1/24', host(inet '10.0.0.1'), masklen('10.0.0.0/8'::cidr), inet '10.0.0.1' + 5
SELECT B'101' & B'011', X'1F', 'a'::bytea, '\xDEAD'::bytea, encode('a'::bytea, 'base64'), get_byte('ab'::bytea, 1), U&'\0061', 0x1F, 1_000
SELECT COALESCE(NULLIF(name, ''), 'none'), greatest(1,2), least(1,2), format('%s-%s', id, name), left(name, 2), overlay(name placing 'x' from 1 for 2), position('a' in name), trim(both ' ' from name), translate(name,'a','b') FROM users
SELECT (SELECT count(*) FROM orders o WHERE o.user_id = u.id) AS n FROM users u WHERE EXISTS (SELECT FROM orders WHERE user_id = u.id)
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM users
EXPLAIN (COSTS off, VERBOSE) SELECT * FROM users WHERE id = 1
SHOW server_version
SHOW ALL
SELECT current_user, session_user, current_database(), current_schema(), version(), pg_size_pretty(pg_relation_size('users')), obj_description('users'::regclass)
SELECT to_char(amount, 'FM999,999.00'), to_char(created_at, 'YYYY-MM'), to_date('2024','YYYY'), to_number('12,3','99,9') FROM orders
SELECT width_bucket(amount, 0, 100, 10), trunc(amount, 1), round(amount::numeric, 2), div(7,2), mod(7,2), gcd(4,6), sign(amount), random() FROM orders
SELECT amount::numeric(10,2), CAST(amount AS double precision), id::text, '12'::int4, TIMESTAMP WITH TIME ZONE '2024-01-01 00:00+02', TIME '12:00', DATE 'today' FROM orders
SELECT json_query('{"a":1}', '$.a' WITH WRAPPER), json_value('{"a":1}', '$.a' RETURNING int DEFAULT 0 ON EMPTY), json_exists('{"a":1}', '$.a')
SELECT * FROM json_table('[{"a":1}]', '$[*]' COLUMNS (n FOR ORDINALITY, a int PATH '$.a')) AS jt
SELECT merge_action FROM (SELECT 1 AS merge_action) t
SELECT id, "delete", "update", "drop" FROM audit_log
SELECT o."note" FROM "order" o
SELECT name FROM users WHERE name LIKE 'a\_%' ESCAPE '\' OR name IS DISTINCT FROM 'x' OR (is_admin IS NOT TRUE) OR created_at IS NULL
SELECT a.*, b.* FROM users a LEFT JOIN LATERAL unnest(ARRAY[1,2]) AS b(x) ON true
SELECT hstore('a','1') -> 'a', st_distance(st_point(1,2), st_point(2,3)), geom && st_makeenvelope(0,0,1,1,4326), geom <-> st_point(0,0) FROM places
SELECT extract(epoch FROM now() - created_at)::int / 86400 FROM users
SELECT * FROM pg_catalog.pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
SELECT j.id FROM orders AS o JOIN users AS u USING (id) AS j
SELECT count(*) FROM ONLY (orders)
TABLE ONLY (orders)
SELECT U&'d!0061ta' UESCAPE '!' AS label
SELECT x.id FROM notes n, XMLTABLE(XMLNAMESPACES('http://example.org/a' AS a), '/rows/row' PASSING n.body COLUMNS id int PATH '@id') AS x
