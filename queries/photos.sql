-- Photographs: folders with near-duplicates, a grey picture and a broken file, to a table of tensors to train on.
--   cargo run --release -- run queries/photos.sql
-- Writes photos.parquet to ${out:-out}.

-- 1. Load. A folder's name is the label. What does not decode is NULL, whatever its bytes are.
CREATE OR REPLACE TABLE files AS
SELECT regexp_replace(path, '.*/', '') AS file, label, image_decode(bytes) AS image
FROM read_images('${data:-tests/data/photos}');

SELECT count(*) AS files, count(image) AS photos, count(*) - count(image) AS broken FROM files;

-- 2. Of photographs that look alike, brighter, smaller or more compressed copies of each other, the largest stays.
CREATE OR REPLACE TABLE hashed AS
SELECT *, image_hash(image, 'phash') AS hash, image['width'] * image['height'] AS pixels
FROM files
WHERE image IS NOT NULL;

CREATE OR REPLACE TABLE photos AS
SELECT file, label, image
FROM hashed AS this
WHERE NOT EXISTS (
  SELECT 1
  FROM hashed AS other
  WHERE hamming_distance(this.hash, other.hash) <= 6
    AND (other.pixels > this.pixels OR (other.pixels = this.pixels AND other.file < this.file))
);

-- 3. All of one size and three channels: the largest square in the middle, not stretched.
CREATE OR REPLACE VIEW squares AS
SELECT file, label, image_resize(image_convert(image, 'rgb'), ${side:-64}, ${side:-64}, fit => 'cover') AS image
FROM photos;

-- 4. Each as it is, and copies that differ: what is drawn depends on the seed, the file and the number of the copy alone.
CREATE OR REPLACE VIEW copies AS
SELECT file, label, copy,
  CASE WHEN copy = 0 THEN image ELSE rand_augment(image, key => random_key(${seed:-7}, file, copy)) END AS image
FROM squares
CROSS JOIN generate_series(0, ${copies:-4}) AS c(copy);

-- 5. As a model reads it: channel by channel, by ImageNet's means and deviations.
COPY (
  SELECT file, label, copy,
    image_normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 'chw',
      width => ${side:-64}, height => ${side:-64}, channels => 3) AS pixels
  FROM copies
  ORDER BY file, copy
) TO '${out:-out}/photos.parquet';

SELECT label, count(DISTINCT file) AS photos, count(*) AS rows FROM copies GROUP BY label ORDER BY label;
