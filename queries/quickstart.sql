-- Palmer penguins: raw CSV to a training table in one query.
--   cargo run --release -- run queries/quickstart.sql
SELECT
  parse_bool("Clutch Completion")                             AS clutch_complete,
  standard_scale("Culmen Length (mm)") OVER ()                AS culmen_length,
  impute("Body Mass (g)", 'median') OVER (PARTITION BY "Sex") AS body_mass,
  one_hot("Island") OVER ()                                   AS island,
  split(random_key(42, "studyName", "Sample Number"))         AS part,
  "Species"                                                   AS species
FROM 'tests/data/penguins-raw.csv'
ORDER BY "studyName", "Sample Number", species
LIMIT 10;
