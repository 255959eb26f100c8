SELECT * FROM TABLE(system.query(query => 'DELETE FROM t'))
SELECT * FROM TABLE(pg.system.query(query => 'x'))
SELECT * FROM TABLE(exclude_columns(input => TABLE(t), columns => DESCRIPTOR(a)))
EXECUTE IMMEDIATE 'DROP TABLE x'
WITH SESSION a = 1 SELECT 1
SELECT ai_gen('x')
PREPARE p FROM DROP TABLE x
