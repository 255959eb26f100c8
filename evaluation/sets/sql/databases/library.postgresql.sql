-- A city's lending library, 2022 to 2024: branches, titles and their authors, copies, members, loans, reservations and
-- fines. All invented. Numbers come from fixed arithmetic modulo primes, so every run makes the same rows.

CREATE TABLE branches (
  id integer PRIMARY KEY,
  name text NOT NULL,
  district text NOT NULL,
  opened date NOT NULL,
  area_m2 integer, -- NULL for the mobile branch
  parent_id integer REFERENCES branches (id) -- the branch that supplies this one
);

INSERT INTO branches VALUES
  (1, 'Central', 'Old Town', '1931-10-05', 5200, NULL),
  (2, 'Harbour', 'Harbour', '1974-03-18', 940, 1),
  (3, 'Northgate', 'North', '1968-09-02', 1260, 1),
  (4, 'Kestrel Park', 'North', '2009-05-11', 610, 3),
  (5, 'Southbank', 'South', '1989-11-20', 1480, 1),
  (6, 'Millrace', 'South', '2015-08-24', 380, 5),
  (7, 'University Quarter', 'East', '1997-04-07', 1120, 1),
  (8, 'Orchard Lane', 'West', '1982-06-14', 720, 1),
  (9, 'Westerleigh', 'West', '2018-02-05', 450, 8),
  (10, 'Library on wheels', 'Old Town', '2001-09-10', NULL, 1),
  (11, 'Signal House', 'East', '2024-11-25', 530, 7);

CREATE TABLE authors (
  id integer PRIMARY KEY,
  name text NOT NULL,
  country text, -- NULL where it is not known
  born integer -- year; NULL where it is not known
);

INSERT INTO authors
SELECT
  i,
  (ARRAY['Agnes', 'Boris', 'Camille', 'Dorian', 'Esther', 'Farid', 'Greta', 'Hiro', 'Ines', 'Jasper', 'Keiko', 'Leon', 'Mira',
    'Niall', 'Olga', 'Pablo', 'Ruth', 'Samir', 'Tove', 'Umberto'])[1 + mod(i, 20)] || ' ' ||
  (ARRAY['Abbott', 'Brandt', 'Castellano', 'du Toit', 'Eklund', 'Ferreira', 'Ghali', 'Holloway', 'Ishikawa', 'le Roux',
    'MacInnes', 'Novak', 'Osei'])[1 + mod(i, 13)],
  CASE WHEN mod(h, 17) = 4 THEN NULL
    ELSE (ARRAY['United Kingdom', 'Sweden', 'Japan', 'Portugal', 'Egypt', 'France', 'Ghana'])[1 + mod(h, 7) * mod(i, 8) / 7] END,
  CASE WHEN mod(h, 14) = 3 THEN NULL ELSE 1890 + mod(h, 107) END
FROM (SELECT i, mod(i * i * 31 + i * 7, 1009) AS h FROM generate_series(1::bigint, 220) AS i) AS n;

CREATE TABLE titles (
  id integer PRIMARY KEY,
  title text NOT NULL,
  published integer NOT NULL, -- year
  language char(2) NOT NULL, -- ISO 639-1
  genre text NOT NULL,
  pages integer, -- NULL for audio books
  sequel_to integer REFERENCES titles (id) -- the volume before it
);

INSERT INTO titles
SELECT
  i,
  (ARRAY['The Quiet', 'A Distant', 'The Last', 'Beyond the', 'An Honest', 'The Glass', 'Under a', 'the paper', 'Seven Days of', 'My',
    'The Borrowed', 'Letters from a'])[1 + mod(i, 12)] || ' ' ||
  (ARRAY['Harbour', 'Orchard', 'Winter', 'Algorithm', 'Lighthouse', 'garden', 'Railway', 'Mapmaker', 'Tide', 'Kitchen', 'Republic',
    'Comet', 'Violin', 'Marsh', 'Archive', 'Season', 'Stranger', 'Bridge', 'Island', 'Parliament', 'Hawk', 'Mirror', 'Ledger',
    'Volcano', 'Century', 'Fox', 'Choir', 'Desert', 'Atlas', 'Promise', 'Thread', 'Planet', 'Ferry', 'Alphabet', 'Clock', 'River',
    'Storm'])[1 + mod(i, 37)],
  2024 - mod(h, 71) * mod(g, 13) / 12,
  (ARRAY['en', 'en', 'en', 'en', 'de', 'fr', 'es', 'tr'])[1 + mod(g, 8)],
  (ARRAY['Novel', 'Crime', 'Children', 'Science', 'History', 'Travel', 'Poetry', 'Comics'])[1 + mod(h, 9) * mod(g, 11) / 11],
  CASE WHEN mod(h, 19) = 6 THEN NULL ELSE 48 + mod(g, 613) END,
  CASE WHEN i > 40 AND mod(h / 9, 9) = 1 THEN i - 1 - mod(g, 38) END
FROM (
  SELECT i, mod(i * i * 19 + i * 83, 4999) AS h, mod(i * i * 5 + i * 127, 4993) AS g FROM generate_series(1::bigint, 420) AS i
) AS n;

CREATE TABLE title_authors (
  title_id integer NOT NULL REFERENCES titles (id),
  author_id integer NOT NULL REFERENCES authors (id),
  position integer NOT NULL, -- 1 is the first author
  PRIMARY KEY (title_id, author_id)
);

INSERT INTO title_authors
SELECT t, 1 + mod(mod(h, 211) * mod(g, 97) / 97 + p * 23, 211), p + 1
FROM (
  SELECT i AS t, mod(i * i * 23 + i * 5, 5003) AS h, mod(i * i * 3 + i * 59, 4987) AS g FROM generate_series(1::bigint, 412) AS i
) AS n
CROSS JOIN generate_series(0, 2) AS p
WHERE p = 0 OR (p = 1 AND mod(g, 4) = 0) OR (p = 2 AND mod(g, 16) = 0);

CREATE TABLE copies (
  id integer PRIMARY KEY,
  title_id integer NOT NULL REFERENCES titles (id),
  branch_id integer NOT NULL REFERENCES branches (id), -- where it stands
  acquired date NOT NULL,
  price integer, -- cents; NULL for gifts
  condition smallint NOT NULL, -- 1 as new, 2 good, 3 worn, 4 damaged
  withdrawn date -- NULL while it can be lent
);

INSERT INTO copies
SELECT
  i,
  1 + mod(mod(h, 419) * mod(g, 53) / 53 + mod(g, 3), 414),
  1 + mod(mod(g, 13) * mod(h, 10) / 9, 10),
  date '2006-01-09' + mod(h * 7 + i, 6400)::integer,
  CASE WHEN mod(h, 12) = 5 THEN NULL ELSE 795 + mod(g, 39) * 95 END,
  1 + mod(h, 4) * mod(g, 5) / 4,
  CASE WHEN mod(g, 15) = 8 THEN date '2023-02-01' + mod(h, 690)::integer END
FROM (
  SELECT i, mod(i * i * 13 + i * 109, 5987) AS h, mod(i * i * 11 + i * 17, 6007) AS g FROM generate_series(1::bigint, 1300) AS i
) AS n;

CREATE TABLE members (
  id integer PRIMARY KEY,
  name text NOT NULL,
  email text, -- upper and lower case as typed in
  kind char(1) NOT NULL, -- 'A' adult, 'C' child, 'S' student, 'I' institution
  born date, -- NULL for institutions, and where it was not given
  branch_id integer NOT NULL REFERENCES branches (id), -- where they joined
  joined date NOT NULL,
  referred_by integer REFERENCES members (id),
  blocked boolean NOT NULL DEFAULT false
);

INSERT INTO members
SELECT
  i,
  CASE WHEN kind = 'I' THEN (ARRAY['School', 'Care home', 'Youth club'])[1 + mod(i, 3)] || ' no. ' || i ELSE first || ' ' || last END,
  CASE WHEN mod(g, 7) = 2 THEN NULL
    WHEN mod(g, 7) = 3 THEN upper(first) || i || '@Mail.Example'
    ELSE lower(first) || i || (ARRAY['@mail.example', '@post.example', '@uni.example'])[1 + mod(g, 3)] END,
  kind,
  CASE kind WHEN 'I' THEN NULL
    WHEN 'C' THEN joined - 1200 - mod(h, 2600)::integer
    WHEN 'S' THEN joined - 6000 - mod(h, 3300)::integer
    ELSE CASE WHEN mod(g, 21) <> 9 THEN date '1938-07-01' + (mod(h, 5003) * 4)::integer END END,
  1 + mod(mod(h, 11) * mod(g, 10) / 9, 10),
  joined,
  CASE WHEN i > 12 AND mod(h, 5) = 2 THEN 1 + mod(g, i / 3) END,
  mod(h, 37) = 11
FROM (
  SELECT
    i, h, g, date '2012-01-02' + (i * 8 + mod(h, 40))::integer AS joined,
    CASE WHEN mod(g, 41) = 7 THEN 'I' WHEN mod(g, 10) < 6 THEN 'A' WHEN mod(g, 10) < 8 AND i > 250 THEN 'C' ELSE 'S' END AS kind,
    (ARRAY['Amara', 'Bela', 'Conor', 'Dilek', 'Enzo', 'Fatima', 'Gina', 'Henk', 'Ivy', 'Jonas', 'Kaja', 'Luis', 'Maud', 'Nils', 'Oona',
      'Piet', 'Rana', 'Sven', 'Tara', 'Uwe', 'Vera', 'Willem', 'Yara', 'Zeno'])[1 + mod(i, 24)] AS first,
    (ARRAY['Ahlgren', 'Bauer', 'Cohen', 'de Jong', 'Engel', 'FitzGerald', 'Grimaldi', 'Hassan', 'Ibsen', 'Jung', 'Keller', 'Lund',
      'McCarthy', 'Nyman', 'Olsen', 'Park', 'Reuter', 'Sato', 'ten Brink', 'Ueda', 'Vogel', 'Wolff', 'Young', 'Ziegler',
      'Zur'])[1 + mod(i, 25)] AS last
  FROM (
    SELECT i, mod(i * i * 29 + i * 3, 5003) AS h, mod(i * i * 7 + i * 41, 4999) AS g FROM generate_series(1::bigint, 560) AS i
  ) AS n
) AS named;

CREATE TABLE loans (
  id integer PRIMARY KEY,
  copy_id integer NOT NULL REFERENCES copies (id),
  member_id integer NOT NULL REFERENCES members (id),
  lent timestamp NOT NULL,
  due date NOT NULL,
  returned timestamp, -- NULL while it is out
  renewals smallint NOT NULL
);

INSERT INTO loans
SELECT
  row_number() OVER (ORDER BY lent, i), copy, member, lent, (lent + days * interval '1 day')::date,
  CASE WHEN back < timestamp '2024-12-31' AND mod(h + g, 83) <> 5 THEN back END, renewals
FROM (
  SELECT *, lent + interval '1 hour' * (20 + mod(g, 37) * mod(h, 31) + CASE WHEN mod(e, 23) = 5 THEN 400 ELSE 0 END) AS back, 21 + 14 * renewals AS days
  FROM (
    SELECT
      i, h, g, e,
      timestamp '2022-01-03 09:00' + interval '1 day' * (i * 1087 / 2901 + mod(e, 5)) + interval '1 minute' * mod(h, 600) AS lent,
      1 + mod(mod(h, 1291) * mod(e, 67) / 66, 1300) AS copy,
      1 + mod(mod(g, 541) * mod(h, 59) / 57, 545) AS member,
      CASE WHEN mod(e, 9) < 6 THEN 0 WHEN mod(e, 9) < 8 THEN 1 ELSE 2 END AS renewals
    FROM (
      SELECT
        i, mod(i * i * 17 + i * 23, 7919) AS h, mod(i * i * 43 + i * 3, 8191) AS g, mod(i * i * 3 + i * 331, 6997) AS e
      FROM generate_series(1::bigint, 2900) AS i
    ) AS n
  ) AS drawn
) AS timed;

-- A copy is lent while the library has it, to a member, and to one at a time.
DELETE FROM loans USING copies, members
WHERE copies.id = copy_id AND members.id = member_id
  AND (lent < acquired OR lent < joined OR coalesce(returned, lent) >= coalesce(withdrawn, 'infinity'));
DELETE FROM loans USING loans AS earlier
WHERE earlier.copy_id = loans.copy_id AND earlier.id < loans.id
  AND (earlier.returned IS NULL OR earlier.returned >= loans.lent);

CREATE TABLE reservations (
  id integer PRIMARY KEY,
  title_id integer NOT NULL REFERENCES titles (id),
  member_id integer NOT NULL REFERENCES members (id),
  branch_id integer NOT NULL REFERENCES branches (id), -- where it is to be collected
  placed timestamp NOT NULL,
  status char(1) NOT NULL -- 'W' waiting, 'R' ready to collect, 'C' collected, 'E' expired, 'X' cancelled
);

INSERT INTO reservations
SELECT
  i, 1 + mod(mod(h, 409) * mod(g, 23) / 23, 420), 1 + mod(g, 533), 1 + mod(mod(g, 11) * mod(h, 9) / 8, 10),
  timestamp '2022-01-10 08:00' + interval '1 day' * (i * 1080 / 651) + interval '1 minute' * mod(g * 7, 720),
  CASE
    WHEN i > 610 AND mod(h, 3) > 0 THEN 'W' WHEN i > 590 AND mod(g, 3) = 0 THEN 'R'
    WHEN mod(h, 20) < 13 THEN 'C' WHEN mod(h, 20) < 16 THEN 'E' ELSE 'X'
  END
FROM (
  SELECT i, mod(i * i * 37 + i * 11, 4001) AS h, mod(i * i * 13 + i * 7, 4003) AS g FROM generate_series(1::bigint, 650) AS i
) AS n;

CREATE TABLE fines (
  id integer PRIMARY KEY,
  loan_id integer NOT NULL REFERENCES loans (id),
  reason char(1) NOT NULL, -- 'L' late, 'D' damaged, 'M' missing
  amount integer NOT NULL, -- cents
  issued date NOT NULL,
  paid date, -- NULL while it is not paid
  waived boolean NOT NULL -- nothing has to be paid
);

INSERT INTO fines
SELECT
  row_number() OVER (ORDER BY issued, loan, reason), loan, reason, amount, issued,
  CASE WHEN NOT waived AND mod(g, 5) > 0 AND issued + mod(g, 70)::integer <= date '2024-12-31' THEN issued + mod(g, 70)::integer END, waived
FROM (
  SELECT
    l.id AS loan, k.reason,
    CASE k.reason WHEN 'L' THEN 50 + 30 * (l.returned::date - l.due) WHEN 'D' THEN 400 + mod(h, 23) * 50 ELSE 1500 + mod(h, 31) * 70 END AS amount,
    CASE k.reason WHEN 'M' THEN l.due + 60 ELSE l.returned::date END AS issued,
    mod(h, 11) = 4 AS waived, g
  FROM (SELECT *, mod(id::bigint * id * 7 + id * 13, 3989) AS h, mod(id::bigint * id * 5 + id * 3, 4019) AS g FROM loans) AS l
  JOIN (VALUES ('L'), ('D'), ('M')) AS k (reason) ON
    (k.reason = 'L' AND l.returned::date > l.due)
    OR (k.reason = 'D' AND l.returned IS NOT NULL AND mod(g, 41) = 3)
    OR (k.reason = 'M' AND l.returned IS NULL AND l.due + 60 < date '2024-12-31')
) AS due_fines;

COMMENT ON COLUMN branches.area_m2 IS 'NULL for the mobile branch';
COMMENT ON COLUMN branches.parent_id IS 'the branch that supplies this one';
COMMENT ON COLUMN authors.country IS 'NULL where it is not known';
COMMENT ON COLUMN authors.born IS 'year; NULL where it is not known';
COMMENT ON COLUMN titles.published IS 'year';
COMMENT ON COLUMN titles.language IS 'ISO 639-1';
COMMENT ON COLUMN titles.pages IS 'NULL for audio books';
COMMENT ON COLUMN titles.sequel_to IS 'the volume before it';
COMMENT ON COLUMN title_authors.position IS '1 is the first author';
COMMENT ON COLUMN copies.branch_id IS 'where it stands';
COMMENT ON COLUMN copies.price IS 'cents; NULL for gifts';
COMMENT ON COLUMN copies.condition IS '1 as new, 2 good, 3 worn, 4 damaged';
COMMENT ON COLUMN copies.withdrawn IS 'NULL while it can be lent';
COMMENT ON COLUMN members.email IS 'upper and lower case as typed in';
COMMENT ON COLUMN members.kind IS '''A'' adult, ''C'' child, ''S'' student, ''I'' institution';
COMMENT ON COLUMN members.born IS 'NULL for institutions, and where it was not given';
COMMENT ON COLUMN members.branch_id IS 'where they joined';
COMMENT ON COLUMN loans.returned IS 'NULL while it is out';
COMMENT ON COLUMN reservations.branch_id IS 'where it is to be collected';
COMMENT ON COLUMN reservations.status IS '''W'' waiting, ''R'' ready to collect, ''C'' collected, ''E'' expired, ''X'' cancelled';
COMMENT ON COLUMN fines.reason IS '''L'' late, ''D'' damaged, ''M'' missing';
COMMENT ON COLUMN fines.amount IS 'cents';
COMMENT ON COLUMN fines.paid IS 'NULL while it is not paid';
COMMENT ON COLUMN fines.waived IS 'nothing has to be paid';
