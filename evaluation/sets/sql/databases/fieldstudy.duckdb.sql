-- A study of breeding birds, 2021 to 2024: sites, observers, visits, sightings, ringing and costs. All invented, but for
-- the names of the species. Numbers come from fixed arithmetic modulo primes, so every run makes the same rows.

CREATE TABLE sites (
  id INTEGER PRIMARY KEY,
  code VARCHAR NOT NULL UNIQUE, -- region and running number, such as 'DEL-07'
  name VARCHAR NOT NULL,
  region VARCHAR NOT NULL,
  habitat VARCHAR, -- NULL where it is not mapped yet
  area_ha DOUBLE NOT NULL,
  elevation_m INTEGER,
  protected_since DATE -- NULL where the site is not protected
);

INSERT INTO sites
SELECT
  i,
  ['DEL', 'HIL', 'COA', 'LAK'][1 + h % 4] || '-' || lpad(i::VARCHAR, 2, '0'),
  ['Alder', 'Black', 'Crane', 'Dry', 'East', 'Fen', 'Grey', 'Heron', 'Iron', 'Long', 'Mill', 'North'][1 + i % 12]
    || ' ' || ['meadow', 'Marsh', 'wood', 'Bank', 'moor'][1 + i % 5],
  ['Delta', 'Hills', 'Coast', 'Lakes'][1 + h % 4],
  CASE WHEN h % 11 = 2 THEN NULL ELSE ['wetland', 'forest', 'grassland', 'heath', 'farmland'][1 + (h // 4) % 5] END,
  round(2.5 + (h % 97) * (g % 89) / 47.0, 1),
  CASE WHEN g % 9 = 4 THEN NULL ELSE (h % 4) % 3 * 210 + g % 180 END,
  CASE WHEN g % 5 < 3 THEN DATE '1968-06-01' + (h * 17 % 19000)::INTEGER END
FROM (SELECT i, (i * i * 37 + i * 11) % 1009 AS h, (i * i * 13 + i * 71) % 997 AS g FROM range(1, 61) AS n (i));

CREATE TABLE observers (
  id INTEGER PRIMARY KEY,
  name VARCHAR NOT NULL,
  email VARCHAR, -- as typed in, upper and lower case mixed
  mentor_id INTEGER REFERENCES observers (id), -- who trained them
  joined DATE NOT NULL,
  left_on DATE, -- NULL for those who still take part
  volunteer BOOLEAN NOT NULL
);

CREATE VIEW all_observers AS
SELECT
  i AS id, name,
  CASE WHEN i % 8 = 5 THEN NULL WHEN i % 3 = 0 THEN upper(address) WHEN i % 3 = 1 THEN address ELSE replace(address, '@b', '@B') END,
  CASE WHEN i <= 6 THEN NULL WHEN i % 7 = 0 THEN NULL ELSE 1 + (i * i * 7 + i * 3) % 101 % (i // 3) END,
  DATE '2012-03-01' + (i * 47 + i * i % 31)::INTEGER,
  CASE WHEN i % 6 = 1 AND i > 6 THEN DATE '2022-09-01' + (i * 11)::INTEGER END,
  i % 4 > 0
FROM (
  SELECT i, first || ' ' || last AS name, lower(first) || '.' || left(replace(lower(last), ' ', ''), 4) || ['@birds.example', '@mail.example'][1 + i % 2] AS address
  FROM (
    SELECT
      i,
      ['Ada', 'Ben', 'Cleo', 'Dan', 'Eva', 'Finn', 'Gro', 'Hugo', 'Ida', 'Jon', 'Kim', 'Liv', 'Max', 'Noa', 'Ola'][1 + i % 15] AS first,
      ['Archer', 'de Wit', 'Falk', 'McBride', 'Stone', 'van Loon', 'Winter'][1 + i % 7] AS last
    FROM range(1, 71) AS n (i)));

-- A mentor has to be there first.
INSERT INTO observers SELECT * FROM all_observers WHERE id <= 7;
INSERT INTO observers SELECT * FROM all_observers WHERE id BETWEEN 8 AND 23;
INSERT INTO observers SELECT * FROM all_observers WHERE id > 23;
DROP VIEW all_observers;

CREATE TABLE species (
  id INTEGER PRIMARY KEY,
  common_name VARCHAR NOT NULL,
  latin_name VARCHAR NOT NULL,
  family VARCHAR NOT NULL,
  red_list VARCHAR, -- 'LC' least concern, 'NT' near threatened, 'VU' vulnerable, 'EN' endangered; NULL not assessed
  migrant BOOLEAN NOT NULL,
  wing_mm INTEGER -- typical length of a wing
);

INSERT INTO species VALUES
  (1, 'Common Chaffinch', 'Fringilla coelebs', 'Fringillidae', 'LC', false, 88),
  (2, 'Great Tit', 'Parus major', 'Paridae', 'LC', false, 76),
  (3, 'Eurasian Blackbird', 'Turdus merula', 'Turdidae', 'LC', false, 128),
  (4, 'Willow Warbler', 'Phylloscopus trochilus', 'Phylloscopidae', 'LC', true, 67),
  (5, 'Common Reed Warbler', 'Acrocephalus scirpaceus', 'Acrocephalidae', 'LC', true, 66),
  (6, 'Sedge Warbler', 'Acrocephalus schoenobaenus', 'Acrocephalidae', 'LC', true, 66),
  (7, 'Eurasian Skylark', 'Alauda arvensis', 'Alaudidae', 'NT', false, 112),
  (8, 'Barn Swallow', 'Hirundo rustica', 'Hirundinidae', 'LC', true, 124),
  (9, 'Northern Lapwing', 'Vanellus vanellus', 'Charadriidae', 'VU', true, 226),
  (10, 'Common Redshank', 'Tringa totanus', 'Scolopacidae', 'VU', true, 160),
  (11, 'Black-tailed Godwit', 'Limosa limosa', 'Scolopacidae', 'EN', true, 212),
  (12, 'Eurasian Curlew', 'Numenius arquata', 'Scolopacidae', 'EN', true, 296),
  (13, 'Reed Bunting', 'Emberiza schoeniclus', 'Emberizidae', 'LC', false, 78),
  (14, 'Yellowhammer', 'Emberiza citrinella', 'Emberizidae', 'NT', false, 87),
  (15, 'Corn Bunting', 'Emberiza calandra', 'Emberizidae', 'VU', false, 99),
  (16, 'Song Thrush', 'Turdus philomelos', 'Turdidae', 'LC', true, 118),
  (17, 'Grey Heron', 'Ardea cinerea', 'Ardeidae', 'LC', false, 455),
  (18, 'Eurasian Bittern', 'Botaurus stellaris', 'Ardeidae', 'NT', false, 335),
  (19, 'Marsh Harrier', 'Circus aeruginosus', 'Accipitridae', 'LC', true, 405),
  (20, 'Hen Harrier', 'Circus cyaneus', 'Accipitridae', 'VU', true, 370),
  (21, 'Blue Tit', 'Cyanistes caeruleus', 'Paridae', 'LC', false, 66),
  (22, 'Coal Tit', 'Periparus ater', 'Paridae', 'LC', false, 61),
  (23, 'Bluethroat', 'Luscinia svecica', 'Muscicapidae', NULL, true, 75),
  (24, 'Common Nightingale', 'Luscinia megarhynchos', 'Muscicapidae', NULL, true, 84),
  (25, 'Whinchat', 'Saxicola rubetra', 'Muscicapidae', 'NT', true, 77),
  (26, 'Common Kingfisher', 'Alcedo atthis', 'Alcedinidae', NULL, false, NULL),
  (27, 'Black Tern', 'Chlidonias niger', 'Laridae', 'EN', true, NULL),
  (28, 'Aquatic Warbler', 'Acrocephalus paludicola', 'Acrocephalidae', 'EN', true, 64);

CREATE TABLE visits (
  id INTEGER PRIMARY KEY,
  site_id INTEGER NOT NULL REFERENCES sites (id),
  started TIMESTAMP NOT NULL,
  minutes INTEGER, -- NULL where the end was not written down
  status VARCHAR NOT NULL, -- 'C' complete, 'A' broken off, 'V' void: not to be used
  wind INTEGER, -- Beaufort, 0 to 12
  temperature DOUBLE -- degrees Celsius
);

INSERT INTO visits
SELECT
  i,
  1 + (h % 61 * (g % 57)) // 61,
  make_timestamp(2021 + i * 4 // 981, 3 + (h % 4 + e % 5) % 6, 1 + (g % 28)::INTEGER, 4 + (e % 7), (h % 12) * 5, 0),
  CASE WHEN h % 43 = 7 THEN NULL ELSE 35 + (e % 17) * 5 + h % 5 END,
  CASE WHEN g % 25 = 3 THEN 'V' WHEN g % 25 IN (4, 9, 20) THEN 'A' ELSE 'C' END,
  CASE WHEN e % 31 = 1 THEN NULL ELSE (e % 4) + (g % 5) // 2 END,
  CASE WHEN h % 39 = 5 THEN NULL ELSE round(1.5 + (e % 7) * 1.4 + ((h % 4 + e % 5) % 6) * 2.3 + (g % 30) / 10.0, 1) END
FROM (
  SELECT i, (i * i * 43 + i * 19) % 7919 AS h, (i * i * 11 + i * 173) % 8191 AS g, (i * i * 29 + i * 7) % 6997 AS e
  FROM range(1, 981) AS n (i));

CREATE TABLE visit_observers (
  visit_id INTEGER NOT NULL REFERENCES visits (id),
  observer_id INTEGER NOT NULL REFERENCES observers (id),
  role VARCHAR NOT NULL, -- 'lead' or 'second'
  PRIMARY KEY (visit_id, observer_id)
);

INSERT INTO visit_observers
SELECT id, 1 + (h % 53 * (g % 59) // 53 + p * 4) % 62, ['lead', 'second'][p + 1]
FROM (SELECT id, (id * id * 7 + id * 31) % 5003 AS h, (id * id * 3 + id * 97) % 4999 AS g FROM visits)
CROSS JOIN range(0, 2) AS n (p)
WHERE p = 0 OR g % 5 < 2;

CREATE TABLE sightings (
  id INTEGER PRIMARY KEY,
  visit_id INTEGER NOT NULL REFERENCES visits (id),
  species_id INTEGER NOT NULL REFERENCES species (id),
  individuals INTEGER, -- NULL where the birds were heard and could not be counted
  behaviour VARCHAR -- 'S' singing, 'F' feeding, 'N' at the nest, 'O' flying over; NULL not noted
);

INSERT INTO sightings
SELECT
  row_number() OVER (ORDER BY visit, species), visit, species,
  CASE WHEN d % 13 = 4 THEN NULL ELSE 1 + (d % 7) * (h % 6) // 4 + CASE WHEN species IN (8, 9) THEN g % 31 ELSE 0 END END,
  CASE WHEN d % 8 = 1 THEN NULL WHEN d % 8 < 5 THEN 'S' WHEN d % 8 = 5 THEN 'F' WHEN d % 8 = 6 THEN 'N' ELSE 'O' END
FROM (
  SELECT
    v.id AS visit, s.id AS species, (v.id * v.id * 5 + v.id * s.id * 17 + s.id * s.id) % 9973 AS d,
    (v.id * 31 + s.id * 7) % 997 AS h, (v.id * s.id) % 1009 AS g
  FROM visits AS v CROSS JOIN species AS s
  WHERE s.id NOT IN (20, 28))
WHERE d % 140 < 30 - species;

CREATE TABLE ringings (
  ring VARCHAR PRIMARY KEY,
  species_id INTEGER NOT NULL REFERENCES species (id),
  site_id INTEGER NOT NULL REFERENCES sites (id),
  observer_id INTEGER NOT NULL REFERENCES observers (id), -- who put the ring on
  ringed DATE NOT NULL,
  sex VARCHAR, -- 'f' or 'm'; NULL where it cannot be told
  weight_g DOUBLE,
  wing_mm INTEGER
);

INSERT INTO ringings
SELECT
  chr((65 + h % 3)::INTEGER) || (70000 + i * 13)::VARCHAR,
  s.id, 1 + (h % 53), 1 + (g % 9) * (h % 4),
  make_date(2021 + (i * 4 // 701)::INTEGER, 4 + (g % 6)::INTEGER, 1 + (h % 30)::INTEGER),
  CASE WHEN g % 5 = 0 THEN NULL WHEN g % 5 < 3 THEN 'f' ELSE 'm' END,
  CASE WHEN h % 29 = 8 THEN NULL ELSE round(s.wing_mm * 0.21 * (0.88 + (g % 25) / 100.0), 1) END,
  CASE WHEN g % 37 = 6 THEN NULL ELSE s.wing_mm + (h % 7)::INTEGER - 3 END
FROM (SELECT i, (i * i * 23 + i * 3) % 4973 AS h, (i * i * 2 + i * 83) % 4969 AS g FROM range(1, 701) AS n (i))
JOIN species AS s ON s.id = [2, 4, 5, 6, 1, 3, 13, 21, 16, 8, 22, 24, 23][1 + (h % 13) * (g % 14) // 13];

CREATE TABLE recaptures (
  id INTEGER PRIMARY KEY,
  ring VARCHAR NOT NULL REFERENCES ringings (ring),
  site_id INTEGER NOT NULL REFERENCES sites (id),
  caught DATE NOT NULL,
  weight_g DOUBLE
);

INSERT INTO recaptures
SELECT
  row_number() OVER (ORDER BY caught, ring), ring, site, caught, weight
FROM (
  SELECT
    ring, CASE WHEN g % 6 = 0 THEN 1 + (site_id * 7 + g) % 53 ELSE site_id END AS site,
    ringed + (9 + p * 140 + g % 230)::INTEGER AS caught,
    CASE WHEN h % 21 = 5 THEN NULL ELSE round(weight_g * (0.93 + (h % 17) / 100.0), 1) END AS weight, h, g, p
  FROM (
    SELECT r.*, (number * number * 3 + number * (p + 2) * 41) % 4093 AS h, (number * number * 19 + number * 5 + p * 77) % 3989 AS g, p
    FROM (SELECT *, row_number() OVER (ORDER BY ringed, ring) AS number FROM ringings) AS r CROSS JOIN range(0, 3) AS n (p)))
WHERE h % 100 < 26 - p * 7 AND caught <= DATE '2024-12-31';

CREATE TABLE costs (
  id INTEGER PRIMARY KEY,
  site_id INTEGER REFERENCES sites (id), -- NULL for what is not spent on one site
  booked DATE NOT NULL,
  kind VARCHAR NOT NULL, -- 'travel', 'equipment', 'wages', 'permits'
  amount INTEGER NOT NULL -- cents; negative for what was paid back
);

INSERT INTO costs
SELECT
  i,
  CASE WHEN h % 6 = 0 THEN NULL ELSE 1 + (g % 47) END,
  DATE '2021-01-04' + (i * 1450 // 601)::INTEGER,
  kind,
  CASE WHEN h % 34 = 9 THEN -1 ELSE 1 END
    * (CASE kind WHEN 'wages' THEN 62000 WHEN 'equipment' THEN 15500 WHEN 'permits' THEN 4000 ELSE 1900 END + h * 11 + g)
FROM (
  SELECT *, CASE WHEN g % 10 < 5 THEN 'travel' WHEN g % 10 < 7 THEN 'equipment' WHEN g % 10 < 9 THEN 'wages' ELSE 'permits' END AS kind
  FROM (SELECT i, (i * i * 17 + i * 29) % 3001 AS h, (i * i * 7 + i * 53) % 2999 AS g FROM range(1, 601) AS n (i)));

COMMENT ON COLUMN sites.code IS 'region and running number, such as ''DEL-07''';
COMMENT ON COLUMN sites.habitat IS 'NULL where it is not mapped yet';
COMMENT ON COLUMN sites.protected_since IS 'NULL where the site is not protected';
COMMENT ON COLUMN observers.email IS 'as typed in, upper and lower case mixed';
COMMENT ON COLUMN observers.mentor_id IS 'who trained them';
COMMENT ON COLUMN observers.left_on IS 'NULL for those who still take part';
COMMENT ON COLUMN species.red_list IS '''LC'' least concern, ''NT'' near threatened, ''VU'' vulnerable, ''EN'' endangered; NULL not assessed';
COMMENT ON COLUMN species.wing_mm IS 'typical length of a wing';
COMMENT ON COLUMN visits.minutes IS 'NULL where the end was not written down';
COMMENT ON COLUMN visits.status IS '''C'' complete, ''A'' broken off, ''V'' void: not to be used';
COMMENT ON COLUMN visits.wind IS 'Beaufort, 0 to 12';
COMMENT ON COLUMN visits.temperature IS 'degrees Celsius';
COMMENT ON COLUMN visit_observers.role IS '''lead'' or ''second''';
COMMENT ON COLUMN sightings.individuals IS 'NULL where the birds were heard and could not be counted';
COMMENT ON COLUMN sightings.behaviour IS '''S'' singing, ''F'' feeding, ''N'' at the nest, ''O'' flying over; NULL not noted';
COMMENT ON COLUMN ringings.observer_id IS 'who put the ring on';
COMMENT ON COLUMN ringings.sex IS '''f'' or ''m''; NULL where it cannot be told';
COMMENT ON COLUMN costs.site_id IS 'NULL for what is not spent on one site';
COMMENT ON COLUMN costs.kind IS '''travel'', ''equipment'', ''wages'', ''permits''';
COMMENT ON COLUMN costs.amount IS 'cents; negative for what was paid back';
