-- MNIST digits: a table of pixels to pictures, balanced and augmented batches, and a GAN that draws new ones.
--   cargo run --release -- run queries/digits.sql
-- Within 10 minutes on two cores; with -D epochs=1 in seconds, for a try. Writes digits_real.png, digits_augmented.png,
-- digits_generated.png, digits.parquet and digits.npy to ${out:-out}.

-- 1. Load: a column a pixel, a row a digit. A pixel that is missing is black.
CREATE OR REPLACE TABLE pixels AS
SELECT id, label, impute(columns('p[0-9]+'), 'zero') OVER ()
FROM read_csv('${data:-tests/data/mnist/mnist_4k.csv.gz}')
WHERE id < ${digits:-4000};

-- 2. Pictures; an eighth of each digit is kept out.
CREATE OR REPLACE TABLE digits AS
SELECT
  id,
  label,
  stratified_split(label, random_key(42, id), test => 0.125) OVER () AS part,
  image_from_pixels(columns('p[0-9]+'), width => 28, height => 28)   AS image
FROM pixels;

-- 3. Batches of 32 with as many of every digit, drawn with replacement.
CREATE OR REPLACE TABLE batches AS
SELECT *
FROM batches(
  (SELECT * FROM balanced_sample((SELECT * FROM digits WHERE part = 'train'),
    label => label, n => ${each:-400}, replace => true, seed => 42)),
  size => 32, balance => label, drop_last => true, seed => 42);

-- 4. Augment: a small turn, shift and zoom, given by the place in the batches.
CREATE OR REPLACE TABLE augmented AS
SELECT
  batch, position, label,
  augment_image(image, rotation => 10, width_shift => 2, height_shift => 2, zoom => 0.1,
    key => random_key(42, batch, position)) AS image
FROM batches;

-- 5. Train: the digit is the label, so that one can ask for it. The last weights are kept: digits go on getting better when their
-- means and spreads, by which epochs are compared, no longer do.
CREATE OR REPLACE MODEL painter USING conv_gan OPTIONS (label 'label', epochs ${epochs:-100}, keep 'last', seed 7) AS
SELECT image, label FROM digits WHERE part = 'train';

-- 6. Draw: ten of each digit.
CREATE OR REPLACE TABLE generated AS
SELECT *
FROM balanced_sample((SELECT label, image FROM sample('painter', 1000, seed => 1)), label => label, n => 10, seed => 1);

-- 7. To look at: 10 x 10 of each, a row a digit.
COPY (
  SELECT image_grid(image, label)
  FROM balanced_sample((SELECT label, image FROM digits WHERE part = 'train'), label => label, n => 10, seed => 1)
) TO '${out:-out}/digits_real.png';
COPY (
  SELECT image_grid(image, label)
  FROM balanced_sample((SELECT label, image FROM augmented), label => label, n => 10, seed => 1)
) TO '${out:-out}/digits_augmented.png';
COPY (SELECT image_grid(image, label) FROM generated) TO '${out:-out}/digits_generated.png';

-- 8. What a training loop reads: the batches in their order, with the pixels from 0 to 1.
CREATE OR REPLACE VIEW training AS
SELECT batch, position, label, image_tensor(image, width => 28, height => 28, channels => 1) AS pixels FROM augmented;

COPY (SELECT * FROM training ORDER BY batch, position) TO '${out:-out}/digits.parquet';
COPY (SELECT pixels FROM training ORDER BY batch, position) TO '${out:-out}/digits.npy';

-- 9. Summary.
SELECT 'read' AS rows, count(*) AS n FROM pixels
UNION ALL SELECT 'learnt from', count(*) FROM digits WHERE part = 'train'
UNION ALL SELECT 'kept out', count(*) FROM digits WHERE part = 'test'
UNION ALL SELECT 'batches of 32', count(DISTINCT batch) FROM augmented
UNION ALL SELECT 'digits.parquet', count(*) FROM '${out:-out}/digits.parquet'
UNION ALL SELECT 'generated', count(*) FROM generated
ORDER BY n DESC;

-- How the training went: how far the looks of the digits were from those of real ones, in the last epochs.
SELECT epoch, value AS difference FROM model_history('painter') WHERE loss = 'difference' ORDER BY epoch DESC LIMIT 5;

-- What the drawn digits are worth, beside what real ones that were kept out are: a network that learnt drawn digits alone (tstr) reads
-- real ones, and one that learnt real ones (trtr); what another network sees in both, and how many are copies.
SELECT metric, round(value, 3) AS value, meaning
FROM evaluate_synthesis(
  (SELECT image, label FROM digits WHERE part = 'train'),
  (SELECT image, label FROM sample('painter', ${judged:-3500}, seed => 2)),
  holdout => (SELECT image, label FROM digits WHERE part = 'test'),
  target => label, rows => ${judged:-3500});
