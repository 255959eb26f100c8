-- A hospital, 2023 to mid-2025: wards, staff, patients, their stays, diagnoses, laboratory and invoices. All invented.
-- Numbers come from fixed arithmetic modulo primes, so every run makes the same rows.

CREATE TABLE wards (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  building TEXT NOT NULL,
  floor INTEGER,
  beds INTEGER NOT NULL,
  opened DATE NOT NULL,
  closed DATE -- NULL while the ward is open
);

INSERT INTO wards VALUES
  (1, 'Cardiology', 'A', 2, 32, '1998-04-01', NULL),
  (2, 'Intensive care', 'A', 1, 14, '1998-04-01', NULL),
  (3, 'General surgery', 'A', 3, 36, '1998-04-01', NULL),
  (4, 'Orthopaedics', 'B', 1, 28, '2003-09-15', NULL),
  (5, 'Neurology', 'B', 2, 24, '2003-09-15', NULL),
  (6, 'Stroke unit', 'B', 2, 8, '2011-05-02', NULL),
  (7, 'Geriatrics', 'B', 3, 30, '2003-09-15', NULL),
  (8, 'Paediatrics', 'C', 1, 22, '2009-01-12', NULL),
  (9, 'Maternity', 'C', 2, 26, '2009-01-12', NULL),
  (10, 'Oncology', 'C', 3, 20, '2012-10-01', NULL),
  (11, 'Internal medicine', 'A', 4, 40, '1998-04-01', NULL),
  (12, 'Short stay', 'A', NULL, 10, '2019-03-04', NULL),
  (13, 'Infectious diseases', 'D', 1, 16, '2005-02-01', '2022-08-31'),
  (14, 'Palliative care', 'C', 4, 9, '2025-06-02', NULL);

CREATE TABLE staff (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL, -- 'physician', 'nurse', 'therapist' or 'clerk'
  ward_id INTEGER REFERENCES wards (id), -- NULL for the pool, which helps out everywhere
  supervisor_id INTEGER REFERENCES staff (id),
  hired DATE NOT NULL,
  hours_per_week REAL NOT NULL
);

WITH RECURSIVE
  n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 220),
  first (k, word) AS (VALUES
    (0, 'Aino'), (1, 'Bram'), (2, 'Chiara'), (3, 'Dario'), (4, 'Elif'), (5, 'Femke'), (6, 'Goran'), (7, 'Hedda'),
    (8, 'Ivo'), (9, 'Jana'), (10, 'Kofi'), (11, 'Lucía'), (12, 'Mats'), (13, 'Nadia'), (14, 'Oskar'), (15, 'Petra'),
    (16, 'Quirin'), (17, 'Rosa'), (18, 'Selim'), (19, 'Tilda')),
  last (k, word) AS (VALUES
    (0, 'de Vries'), (1, 'McAllister'), (2, 'van den Berg'), (3, 'Okafor'), (4, 'Lindqvist'), (5, 'O''Neill'),
    (6, 'Moretti'), (7, 'Hoffmann'), (8, 'Kaya'), (9, 'Dubois'), (10, 'DeLuca')),
  base AS (
    SELECT i, (i * 53) % 220 AS j, 1 + (i * i * 3 + i * 5) % 1009 % 12 AS ward, i * i * 41 + i * 29 AS h FROM n)
INSERT INTO staff
SELECT
  base.i,
  first.word || ' ' || last.word,
  CASE WHEN base.i <= 48 THEN 'physician' WHEN base.i <= 178 THEN 'nurse' WHEN base.i <= 204 THEN 'therapist' ELSE 'clerk' END,
  CASE
    WHEN base.i IN (13, 61) THEN 11
    WHEN base.i <= 14 THEN base.i
    WHEN base.i BETWEEN 49 AND 62 THEN base.i - 48
    WHEN base.i > 62 AND base.i % 17 = 0 THEN NULL
    ELSE base.ward
  END,
  CASE
    WHEN base.i = 1 THEN NULL
    WHEN base.i <= 14 OR (base.i > 62 AND base.i % 17 = 0) THEN 1
    WHEN base.i BETWEEN 49 AND 62 THEN base.i - 48
    WHEN base.i BETWEEN 63 AND 178 THEN base.ward + 48
    ELSE base.ward
  END,
  date('1994-01-03', (base.h % 11003) || ' days'),
  CASE WHEN base.h % 1013 % 7 < 3 THEN 40.0 WHEN base.h % 1013 % 7 < 5 THEN 38.5 WHEN base.h % 1013 % 7 = 5 THEN 30.0 ELSE 20.0 END
FROM base
JOIN first ON first.k = base.j % 20
JOIN last ON last.k = base.j / 20;

CREATE TABLE insurers (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  kind TEXT NOT NULL -- 'public' or 'private'
);

INSERT INTO insurers VALUES
  (1, 'Civica', 'public'),
  (2, 'Northern Mutual', 'public'),
  (3, 'Rail and Post', 'public'),
  (4, 'Harbour Health', 'public'),
  (5, 'Meridian', 'private'),
  (6, 'Alba Private', 'private'),
  (7, 'Concordia Care', 'private'),
  (8, 'Old Guild', 'private');

CREATE TABLE patients (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  sex TEXT, -- 'f', 'm' or 'x'; NULL where it was not recorded
  born DATE NOT NULL,
  city TEXT NOT NULL,
  insurer_id INTEGER REFERENCES insurers (id) -- NULL for patients who pay themselves
);

WITH RECURSIVE
  n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700),
  first (k, word) AS (VALUES
    (0, 'Abel'), (1, 'Berit'), (2, 'Carlos'), (3, 'Dina'), (4, 'Emre'), (5, 'Frida'), (6, 'Gustav'), (7, 'Hanna'),
    (8, 'Ismail'), (9, 'Judith'), (10, 'Karl'), (11, 'Lena'), (12, 'Milan'), (13, 'Nora'), (14, 'Omar'), (15, 'Pia'),
    (16, 'Rafael'), (17, 'Sofia'), (18, 'Theo'), (19, 'Ulla'), (20, 'Viktor'), (21, 'Wanda'), (22, 'Yusuf'), (23, 'Zoe'),
    (24, 'Anne-Marie')),
  last (k, word) AS (VALUES
    (0, 'Andersson'), (1, 'von Arnim'), (2, 'Bakker'), (3, 'Costa'), (4, 'da Silva'), (5, 'Eriksen'), (6, 'Fischer'),
    (7, 'García'), (8, 'Haddad'), (9, 'Ivanova'), (10, 'Jensen'), (11, 'Kowalski'), (12, 'Lefebvre'), (13, 'MacLeod'),
    (14, 'Nowak'), (15, 'O''Brien'), (16, 'Petrov'), (17, 'Quist'), (18, 'Rossi'), (19, 'Schmidt'), (20, 'Tanaka'),
    (21, 'van Dijk'), (22, 'Weber'), (23, 'Yilmaz'), (24, 'Zimmermann'), (25, 'Martin'), (26, 'Berg'), (27, 'Berger')),
  base AS (SELECT i, (i * 337) % 700 AS j, (i * i * 71 + i * 37) % 10007 AS h FROM n)
INSERT INTO patients
SELECT
  base.i,
  first.word || ' ' || last.word,
  CASE WHEN base.h % 29 = 0 THEN NULL WHEN base.h % 83 = 1 THEN 'x' WHEN base.j % 25 % 2 = 1 OR base.j % 25 = 24 THEN 'f' ELSE 'm' END,
  date('1929-05-11', (base.h * 33 / 10 + base.i) || ' days'),
  CASE
    WHEN base.h % 19 < 7 THEN 'Norrvik' WHEN base.h % 19 < 11 THEN 'Sankt Olav' WHEN base.h % 19 < 14 THEN 'Elmhaven'
    WHEN base.h % 19 < 16 THEN 'Torre Alta' WHEN base.h % 19 = 16 THEN 'Brückfeld' WHEN base.h % 19 = 17 THEN 'Old Mills'
    ELSE 'Lakeside'
  END,
  CASE WHEN base.h % 23 = 5 THEN NULL ELSE 1 + (base.h % 8) * ((base.h + base.i) % 9) / 8 END
FROM base
JOIN first ON first.k = base.j % 25
JOIN last ON last.k = base.j / 25;

CREATE TABLE stays (
  id INTEGER PRIMARY KEY,
  patient_id INTEGER NOT NULL REFERENCES patients (id),
  ward_id INTEGER NOT NULL REFERENCES wards (id),
  physician_id INTEGER REFERENCES staff (id), -- who is responsible; NULL where none was entered
  admitted TEXT NOT NULL, -- 'YYYY-MM-DD HH:MM'
  discharged TEXT, -- 'YYYY-MM-DD HH:MM'; NULL while the patient is in the hospital
  admission TEXT NOT NULL, -- 'E' emergency, 'P' planned, 'T' transferred from another hospital
  outcome TEXT -- 'H' went home, 'R' to rehabilitation, 'T' to another hospital, 'D' died; NULL while in the hospital
);

WITH RECURSIVE
  n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1900),
  base AS (
    SELECT i, (i * i * 17 + i * 101) % 10007 AS h, (i * i * 59 + i * 13) % 9973 AS g, (i * i * 7 + i * 211) % 8191 AS e
    FROM n),
  timed AS (
    SELECT *, datetime('2023-01-01', (i * 911 / 1900) || ' days', (h % 1440) || ' minutes') AS came,
      9 + (g % 23) * (e % 19) + (CASE WHEN h % 41 = 0 THEN 500 ELSE 0 END) + h % 13 AS hours
    FROM base),
  ended AS (SELECT *, datetime(came, hours || ' hours', (e % 60) || ' minutes') AS went FROM timed)
INSERT INTO stays
SELECT
  i,
  1 + CASE WHEN g % 3 = 0 THEN h % 118 ELSE e % 655 END,
  1 + (g % 13 * (h % 12) + e % 5) % 12,
  CASE WHEN h % 37 = 3 THEN NULL ELSE 1 + (g % 29) * (e % 31) / 21 END,
  strftime('%Y-%m-%d %H:%M', came),
  CASE WHEN went < '2025-07-01' THEN strftime('%Y-%m-%d %H:%M', went) END,
  CASE WHEN g % 20 < 11 THEN 'E' WHEN g % 20 < 18 THEN 'P' ELSE 'T' END,
  CASE
    WHEN went >= '2025-07-01' THEN NULL
    WHEN (h + e) % 31 = 0 THEN 'D' WHEN (h + e) % 31 < 5 THEN 'R' WHEN (h + e) % 31 < 7 THEN 'T' ELSE 'H'
  END
FROM ended;

-- Nobody is admitted while still in the hospital, or after dying.
DELETE FROM stays WHERE EXISTS (
  SELECT 1 FROM stays AS earlier
  WHERE earlier.patient_id = stays.patient_id AND earlier.id < stays.id
    AND (earlier.discharged IS NULL OR earlier.discharged >= stays.admitted OR earlier.outcome = 'D')
);

CREATE TABLE diagnoses (
  code TEXT PRIMARY KEY, -- ICD-10
  name TEXT NOT NULL,
  chapter TEXT NOT NULL
);

INSERT INTO diagnoses VALUES
  ('I50', 'Heart failure', 'Circulatory system'),
  ('I21', 'Acute myocardial infarction', 'Circulatory system'),
  ('J18', 'Pneumonia', 'Respiratory system'),
  ('I48', 'Atrial fibrillation', 'Circulatory system'),
  ('I63', 'Cerebral infarction', 'Circulatory system'),
  ('S72', 'Fracture of femur', 'Injuries'),
  ('K80', 'Gallstones', 'Digestive system'),
  ('E11', 'Type 2 diabetes mellitus', 'Endocrine and metabolic'),
  ('N39', 'Urinary tract infection', 'Genitourinary system'),
  ('J44', 'Chronic obstructive pulmonary disease', 'Respiratory system'),
  ('M17', 'Osteoarthritis of knee', 'Musculoskeletal system'),
  ('K35', 'Acute appendicitis', 'Digestive system'),
  ('S06', 'Intracranial injury', 'Injuries'),
  ('G40', 'Epilepsy', 'Nervous system'),
  ('C34', 'Lung cancer', 'Neoplasms'),
  ('A41', 'Sepsis', 'Infectious diseases'),
  ('O80', 'Spontaneous delivery', 'Pregnancy and childbirth'),
  ('I10', 'Hypertension', 'Circulatory system'),
  ('E86', 'Volume depletion', 'Endocrine and metabolic'),
  ('C50', 'Breast cancer', 'Neoplasms'),
  ('N17', 'Acute kidney failure', 'Genitourinary system'),
  ('F05', 'Delirium', 'Mental disorders'),
  ('G35', 'Multiple sclerosis', 'Nervous system'),
  ('B18', 'Chronic viral hepatitis', 'Infectious diseases');

CREATE TABLE stay_diagnoses (
  stay_id INTEGER NOT NULL REFERENCES stays (id),
  code TEXT NOT NULL REFERENCES diagnoses (code),
  position INTEGER NOT NULL, -- 1 is the main diagnosis, 2 and more are secondary
  PRIMARY KEY (stay_id, code)
);

WITH
  position (p) AS (VALUES (1), (2), (3)),
  base AS (SELECT id, ward_id, (id * id * 23 + id * 61) % 7919 AS h, (id * id * 11 + id * 7) % 6997 AS g FROM stays),
  numbered AS (SELECT rowid - 1 AS k, code FROM diagnoses)
INSERT INTO stay_diagnoses
SELECT base.id, numbered.code, position.p
FROM base
JOIN position ON position.p <= 1 + (base.g % 4) * (base.h % 3) / 3
JOIN numbered ON numbered.k = ((base.h % 22) * (base.g % 23) / 22 + base.ward_id * (base.g % 5 % 3) + (position.p - 1) * 5) % 22;

CREATE TABLE lab_results (
  id INTEGER PRIMARY KEY,
  stay_id INTEGER NOT NULL REFERENCES stays (id),
  analyte TEXT NOT NULL,
  value REAL, -- NULL where the sample was spoilt
  unit TEXT NOT NULL,
  taken TEXT NOT NULL, -- 'YYYY-MM-DD HH:MM'
  flag TEXT -- 'L' below, 'H' above the range of reference; NULL within it
);

WITH
  draw (k) AS (VALUES (0), (1), (2), (3), (4)),
  analytes (a, name, unit, low, high, start, step) AS (VALUES
    (0, 'Potassium', 'mmol/l', 3.5, 5.1, 2.9, 0.03),
    (1, 'Sodium', 'mmol/l', 135.0, 145.0, 128.0, 0.2),
    (2, 'Haemoglobin', 'g/dl', 12.0, 17.0, 7.2, 0.11),
    (3, 'C-reactive protein', 'mg/l', 0.0, 5.0, 0.3, 1.7),
    (4, 'Creatinine', 'mg/dl', 0.5, 1.2, 0.4, 0.025),
    (5, 'Glucose', 'mg/dl', 70.0, 110.0, 52.0, 1.9)),
  base AS (
    SELECT id, admitted, k, (id * id * (k + 3) * 19 + id * 43 + k * 997) % 9973 AS h,
      (id * id * 5 + id * (k + 2) * 31 + k * 641) % 8191 AS g
    FROM stays JOIN draw),
  measured AS (
    SELECT base.*, analytes.*, round(start + step * (h % 97) * (CASE WHEN g % 5 = 0 THEN 1.15 ELSE 0.85 END), 2) AS amount
    FROM base JOIN analytes ON a = (h + k) % 6
    WHERE g % 100 < 34)
INSERT INTO lab_results
SELECT
  row_number() OVER (ORDER BY id, k), id, name, CASE WHEN g % 47 = 0 THEN NULL ELSE amount END, unit,
  strftime('%Y-%m-%d %H:%M', admitted, (1 + k) || ' hours', (h % 50) || ' minutes'),
  CASE WHEN g % 47 = 0 THEN NULL WHEN amount < low THEN 'L' WHEN amount > high THEN 'H' END
FROM measured;

CREATE TABLE invoices (
  id INTEGER PRIMARY KEY,
  stay_id INTEGER NOT NULL REFERENCES stays (id), -- a cancelled invoice is followed by a second one of the same stay
  issued DATE NOT NULL,
  amount INTEGER NOT NULL, -- cents
  status TEXT NOT NULL, -- 'O' open, 'P' paid, 'D' reminded and not yet paid, 'X' cancelled
  paid DATE -- NULL unless paid
);

WITH
  copy (c) AS (VALUES (0), (1)),
  base AS (
    SELECT id AS stay, ward_id, discharged, c, (id * id * 13 + id * 89) % 9973 AS h, (id * id * 29 + id * 3) % 7919 AS g,
      julianday(discharged) - julianday(admitted) AS days
    FROM stays JOIN copy WHERE discharged IS NOT NULL),
  kept AS (
    SELECT *, CASE WHEN h % 27 = 0 AND c = 0 THEN 'X' WHEN g % 17 = 0 THEN 'D'
        WHEN discharged > '2025-04-20' AND g % 3 > 0 THEN 'O' WHEN g % 29 = 3 THEN 'O' ELSE 'P' END AS state,
      date(discharged, (3 + h % 19 + c * 14) || ' days') AS day
    FROM base
    WHERE g % 31 <> 7 AND (c = 0 OR h % 27 = 0)),
  paid AS (SELECT *, CASE WHEN state = 'P' THEN date(day, (5 + g % 44) || ' days') END AS payday FROM kept)
INSERT INTO invoices
SELECT
  row_number() OVER (ORDER BY day, stay, c), stay, day,
  CAST(days * (41000 + (ward_id * 7919) % 53000) + 18000 + h * 7 - c * 1250 AS INTEGER),
  CASE WHEN payday > '2025-06-30' THEN 'O' ELSE state END,
  CASE WHEN payday <= '2025-06-30' THEN payday END
FROM paid
WHERE day <= '2025-06-30';
