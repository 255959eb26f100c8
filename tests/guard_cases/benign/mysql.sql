SELECT `id`, `name` FROM `users` WHERE `name` LIKE 'a%' AND name REGEXP '^[a-z]+$' AND name RLIKE 'x' AND name NOT REGEXP 'y'
SELECT id FROM users LIMIT 5, 10
SELECT SQL_NO_CACHE id FROM users
SELECT SQL_CALC_FOUND_ROWS id FROM users LIMIT 5
SELECT STRAIGHT_JOIN u.id FROM users u JOIN orders o ON u.id = o.user_id
SELECT HIGH_PRIORITY DISTINCTROW id FROM users
SELECT u.id FROM users u USE INDEX (idx_a) IGNORE INDEX (idx_b) JOIN orders o FORCE INDEX FOR JOIN (idx_c) ON u.id = o.user_id
SELECT DATE_FORMAT(created_at, '%Y-%m'), DATE_ADD(created_at, INTERVAL 1 MONTH), created_at + INTERVAL 1 DAY, DATE_SUB(NOW(), INTERVAL '1:30' MINUTE_SECOND), TIMESTAMPDIFF(DAY, created_at, NOW()), DATEDIFF(NOW(), created_at), LAST_DAY(created_at), STR_TO_DATE('2024-01-01','%Y-%m-%d'), WEEK(created_at, 3), YEARWEEK(created_at), QUARTER(created_at), EXTRACT(YEAR_MONTH FROM created_at), FROM_UNIXTIME(1), UNIX_TIMESTAMP(created_at), CONVERT_TZ(created_at, 'UTC', 'Europe/Vienna') FROM users
SELECT GROUP_CONCAT(DISTINCT name ORDER BY name SEPARATOR '; ') FROM users
SELECT status, SUM(amount) FROM orders GROUP BY status WITH ROLLUP
SELECT status, GROUPING(status), SUM(amount) FROM orders GROUP BY status WITH ROLLUP HAVING SUM(amount) > 1 ORDER BY NULL
SELECT JSON_EXTRACT(doc, '$.a'), doc->'$.a', doc->>'$.a', JSON_UNQUOTE('"a"'), JSON_CONTAINS(doc, '1', '$.a'), JSON_LENGTH(doc), JSON_KEYS(doc), JSON_ARRAYAGG(id), JSON_OBJECTAGG(id, name), JSON_VALUE(doc, '$.a' RETURNING SIGNED), JSON_OVERLAPS('[1]','[1]') FROM docs
SELECT * FROM docs WHERE 3 MEMBER OF (doc->'$.tags')
SELECT jt.* FROM docs, JSON_TABLE(doc, '$[*]' COLUMNS (n FOR ORDINALITY, a INT PATH '$.a' DEFAULT '0' ON EMPTY, NESTED PATH '$.b[*]' COLUMNS (b INT PATH '$'))) AS jt
SELECT MATCH(name, email) AGAINST ('+ann -bob' IN BOOLEAN MODE) AS score FROM users
SELECT * FROM users WHERE MATCH (name) AGAINST ('ann' WITH QUERY EXPANSION)
SELECT * FROM users WHERE MATCH (name) AGAINST ('ann' IN NATURAL LANGUAGE MODE)
SELECT id, ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY amount DESC), SUM(amount) OVER w FROM orders WINDOW w AS (ORDER BY id ROWS UNBOUNDED PRECEDING)
SELECT id, SUM(amount) OVER (ORDER BY created_at RANGE INTERVAL 1 DAY PRECEDING) FROM orders
WITH RECURSIVE c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n < 10) SELECT * FROM c
WITH a AS (SELECT * FROM users), b (x) AS (SELECT id FROM orders) SELECT * FROM a JOIN b ON a.id = b.x
SELECT u.name, o.amount FROM users u LEFT JOIN LATERAL (SELECT amount FROM orders WHERE user_id = u.id LIMIT 1) o ON TRUE
SELECT * FROM users u NATURAL LEFT JOIN orders o
SELECT name COLLATE utf8mb4_bin, _utf8mb4'x' COLLATE utf8mb4_general_ci, CONVERT(name USING utf8mb4), BINARY name = 'a', CAST(name AS CHAR(10) CHARACTER SET utf8mb4) FROM users
SELECT name <=> NULL, id <> 1, id != 2, !id, id DIV 2, id % 2, id MOD 2, id ^ 1, id << 1, ~id, id && 1, id || 0, id XOR 1 FROM users
SELECT IF(id > 1, 'a', 'b'), IFNULL(name, ''), NULLIF(name, ''), COALESCE(name, email), CASE WHEN id THEN 1 END, ELT(1, 'a'), FIELD('a', 'b', 'a'), FIND_IN_SET('a', 'a,b'), INTERVAL(5, 1, 10), GREATEST(1,2), LEAST(1,2), ISNULL(name) FROM users
SELECT "a string", 'it''s', 'it\'s', 0x41, b'1', X'41', DATE '2024-01-01', TIMESTAMP '2024-01-01 00:00:00', .5, 1e3, TRUE, N'x'
SELECT {d '2024-01-01'}, {ts '2024-01-01 00:00:00'}, {t '10:00:00'}
SELECT CONCAT(name, '-', email), CONCAT_WS(',', id, name), SUBSTRING_INDEX(email, '@', -1), SUBSTRING(name FROM 2 FOR 3), MID(name, 1, 2), LEFT(name, 1), RIGHT(name, 1), LPAD(name, 5, '0'), REVERSE(name), LOCATE('a', name), POSITION('a' IN name), INSTR(name, 'a'), INSERT(name, 1, 2, 'x'), REPLACE(name, 'a', 'b'), TRIM(LEADING 'x' FROM name), CHAR_LENGTH(name), LENGTH(name), UCASE(name), FORMAT(1234.5, 2), HEX(name), SOUNDEX(name), ASCII(name), ORD(name), SPACE(2), REPEAT('x', 3), QUOTE(name) FROM users
SELECT REGEXP_REPLACE(name, 'a', 'b'), REGEXP_SUBSTR(name, '[a-z]+'), REGEXP_LIKE(name, 'x', 'i'), REGEXP_INSTR(name, 'x') FROM users
SELECT ROUND(1.5), TRUNCATE(1.55, 1), CEILING(1.2), FLOOR(1.2), POW(2,3), SQRT(4), RAND(), RAND(5), MOD(5,2), LN(2), LOG(2, 8), LOG2(8), SIGN(-1), CRC32('x'), CONV('a',16,2), BIT_COUNT(5), PI(), DEGREES(1), ATAN2(1,2)
SELECT STDDEV_POP(amount), VAR_SAMP(amount), BIT_AND(id), BIT_XOR(id), COUNT(DISTINCT user_id, status), ANY_VALUE(status), AVG(DISTINCT amount), STD(amount) FROM orders
VALUES ROW(1, 'a'), ROW(2, 'b')
TABLE users LIMIT 5
SELECT * FROM (VALUES ROW(1, 'a'), ROW(2, 'b')) AS v(n, s)
SELECT id FROM users INTERSECT SELECT user_id FROM orders
SELECT id FROM users EXCEPT SELECT user_id FROM orders
(SELECT id FROM users LIMIT 1) UNION ALL (SELECT id FROM orders ORDER BY id DESC LIMIT 1) LIMIT 2
SELECT * FROM orders PARTITION (p0, p1) WHERE id > 1
SELECT * FROM orders FOR SYSTEM_TIME AS OF TIMESTAMP '2024-01-01 00:00:00'
SELECT * FROM orders FOR SYSTEM_TIME BETWEEN '2024-01-01' AND '2024-02-01'
SELECT * FROM orders FOR SYSTEM_TIME ALL
SELECT @@version, @@session.time_zone, @@global.max_connections, DATABASE(), USER(), VERSION(), CONNECTION_ID(), CURRENT_USER(), LAST_INSERT_ID(), FOUND_ROWS(), ROW_COUNT()
SELECT UUID(), MD5('x'), SHA2('x', 256), SHA1('x'), INET_ATON('1.2.3.4'), INET6_NTOA(INET6_ATON('::1')), BIN_TO_UUID(UUID_TO_BIN(UUID()))
SELECT * FROM users WHERE (id, name) IN ((1, 'a'), (2, 'b')) AND id NOT BETWEEN 1 AND 3 AND name IS NOT NULL AND id = ANY (SELECT user_id FROM orders) AND ROW(1, 2) = (SELECT 1, 2)
SELECT 1 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM orders)
SELECT ST_Distance(p, ST_GeomFromText('POINT(1 1)')), ST_AsText(p), ST_X(p), ST_Distance_Sphere(p, POINT(1, 2)), MBRContains(p, p) FROM places
SELECT name AS 'User Name', COUNT(*) AS `n rows` FROM users GROUP BY name WITH ROLLUP
SELECT a.id FROM users a, orders b WHERE a.id = b.user_id AND b.created_at >= CURDATE() - INTERVAL 7 DAY
SELECT SUM(status = 'paid') / COUNT(*) * 100 FROM orders
SELECT id FROM users WHERE name SOUNDS LIKE 'ann'
SHOW TABLES
SHOW FULL COLUMNS FROM users
SHOW COLUMNS FROM users LIKE 'a%'
SHOW CREATE TABLE users
SHOW INDEX FROM users
SHOW TABLE STATUS LIKE 'users'
SHOW DATABASES
SHOW VARIABLES LIKE 'version%'
SHOW STATUS LIKE 'Threads%'
SHOW WARNINGS
DESCRIBE users
DESC users name
EXPLAIN SELECT * FROM users
EXPLAIN FORMAT=JSON SELECT * FROM users
EXPLAIN ANALYZE SELECT * FROM users
ANALYZE SELECT * FROM users
SELECT * FROM information_schema.tables WHERE table_schema = DATABASE()
SELECT id, `delete`, `update`, `drop` FROM audit_log
SELECT `o`.`note` FROM `order` AS `o`
SELECT DAYOFWEEK(created_at), DAYNAME(created_at), HOUR(created_at), SEC_TO_TIME(100), TIME_TO_SEC('10:00'), MAKEDATE(2024, 1), ADDDATE(created_at, 1), PERIOD_DIFF(202401, 202312), UTC_TIMESTAMP(), SYSDATE(), CURRENT_TIMESTAMP(6), MICROSECOND(created_at), TIMESTAMPADD(MONTH, 1, created_at), WEEKDAY(created_at), TO_DAYS(created_at) FROM users
SELECT MEDIAN(amount) OVER (PARTITION BY status), PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY amount) OVER (PARTITION BY status) FROM orders
SELECT LAG(amount, 1) OVER (ORDER BY id), NTH_VALUE(amount, 2) OVER (ORDER BY id), PERCENT_RANK() OVER (ORDER BY amount) FROM orders
SELECT HIGH_PRIORITY SQL_SMALL_RESULT DISTINCT status FROM orders
SELECT SQL_BIG_RESULT SQL_BUFFER_RESULT DISTINCT status FROM orders
