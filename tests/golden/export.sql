-- What COPY writes for training loops. export.py checks it with the libraries that read it, and keeps it.

CREATE TABLE t AS
SELECT
  id,
  CASE id WHEN 3 THEN CAST('NaN' AS DOUBLE) WHEN 4 THEN CAST('inf' AS DOUBLE) WHEN 5 THEN CAST('-inf' AS DOUBLE)
    ELSE (id - 7) / 8.0 END                                                                  AS x,
  CASE WHEN id % 4 > 0 THEN id * id - 100 END                                                AS n,
  CASE id % 3 WHEN 0 THEN '' WHEN 1 THEN concat('é', id) ELSE concat('a 😀', id) END          AS s,
  CASE id % 2 WHEN 0 THEN 'even' ELSE 'odd' END                                              AS parity,
  arrow_cast(arrow_cast(id - 3, 'Int32'), 'Date32')                                          AS day,
  arrow_cast(id * 1500001 - 3, 'Timestamp(Microsecond, None)')                               AS at,
  vectorize(id, id / 4.0)                                                                    AS v,
  range(0, id % 4)                                                                           AS ragged,
  image_from_pixels(range(id, id + 6), width => 3, height => 2)                              AS gray,
  image_from_pixels(range(id * 7, id * 7 + 12), width => 2, height => 2, channels => 3)      AS rgb
FROM (SELECT value AS id FROM generate_series(0, 19));

COPY (SELECT id % 3 = 0 FROM t ORDER BY id)                                TO '${out}/b1.npy';
COPY (SELECT CAST(id - 9 AS TINYINT) FROM t ORDER BY id)                   TO '${out}/i1.npy';
COPY (SELECT CAST(id * -1000 AS SMALLINT) FROM t ORDER BY id)              TO '${out}/i2.npy';
COPY (SELECT CAST(id * 100000000 AS INTEGER) FROM t ORDER BY id)           TO '${out}/i4.npy';
COPY (SELECT id * -100000000000000 FROM t ORDER BY id)                     TO '${out}/i8.npy';
COPY (SELECT CAST(id * 13 AS TINYINT UNSIGNED) FROM t ORDER BY id)         TO '${out}/u1.npy';
COPY (SELECT CAST(id * 3000 AS SMALLINT UNSIGNED) FROM t ORDER BY id)      TO '${out}/u2.npy';
COPY (SELECT CAST(id * 200000000 AS INTEGER UNSIGNED) FROM t ORDER BY id)  TO '${out}/u4.npy';
COPY (SELECT CAST(id AS BIGINT UNSIGNED) AS u FROM t ORDER BY id)          TO '${out}/u8.npy';
COPY (SELECT arrow_cast(id / 8.0, 'Float16') FROM t ORDER BY id)           TO '${out}/f2.npy';
COPY (SELECT CAST(x AS REAL) FROM t ORDER BY id)                           TO '${out}/f4.npy';
COPY (SELECT x FROM t ORDER BY id)                                         TO '${out}/f8.npy';
COPY (SELECT s FROM t ORDER BY id)                                         TO '${out}/text.npy';
COPY (SELECT day FROM t ORDER BY id)                                       TO '${out}/day.npy';
COPY (SELECT at FROM t ORDER BY id)                                        TO '${out}/at.npy';
COPY (SELECT v FROM t ORDER BY id)                                         TO '${out}/vector.npy';
COPY (SELECT [id, id * 2, -id] FROM t ORDER BY id)                         TO '${out}/list.npy';
COPY (SELECT [[id, 1], [2, id], [0, 0]] FROM t ORDER BY id)                TO '${out}/lists.npy';
COPY (SELECT [s, parity] FROM t ORDER BY id)                               TO '${out}/texts.npy';
COPY (SELECT gray FROM t ORDER BY id)                                      TO '${out}/gray.npy';
COPY (SELECT rgb FROM t ORDER BY id DESC)                                  TO '${out}/rgb.npy';
COPY (SELECT image_encode(rgb) FROM t ORDER BY id DESC)                    TO '${out}/encoded.npy';
COPY (SELECT x FROM t WHERE id < 0)                                        TO '${out}/empty.npy';
COPY (SELECT v FROM t WHERE id < 0)                                        TO '${out}/empty_vector.npy';
COPY (SELECT s FROM t WHERE id < 0)                                        TO '${out}/empty_text.npy';

COPY (SELECT rgb AS image, id AS label, parity, x, v FROM t ORDER BY id)   TO '${out}/all.npz';
COPY (SELECT gray, v FROM t ORDER BY id)                                   TO '${out}/small.npz' OPTIONS (compress true);

COPY (SELECT id, x, n, s, v, ragged, [s, parity] AS words, id % 2 = 0 AS even, rgb AS image FROM t ORDER BY id)
TO '${out}/one.tfrecord';
COPY (SELECT id, repeat(s, 60) AS long FROM t ORDER BY id) TO '${out}/many.tfrecord' OPTIONS (shards 3);
COPY (SELECT id FROM t ORDER BY id) TO '${out}/rows.tfrecord' OPTIONS (shard_rows 8);
COPY (SELECT id FROM t WHERE id < 0) TO '${out}/empty.tfrecord';

COPY (SELECT rgb AS image, id AS label, s AS txt, x, ragged, v, parity, n FROM t ORDER BY id) TO '${out}/samples.tar';
COPY (SELECT concat(parity, '/', repeat('long', 30), id, '.jpg') AS name, rgb AS image, gray AS mask, id AS class FROM t ORDER BY id)
TO '${out}/shards.tar' OPTIONS (key name, label class, shard_rows 7);

COPY (SELECT rgb AS image, parity AS label FROM t ORDER BY id) TO '${out}/folder' STORED AS images;
COPY (SELECT image_encode(gray, 'bmp') AS bytes, concat('/a/b/', parity, id, '.bmp') AS path FROM t ORDER BY id)
TO '${out}/flat' STORED AS images;

COPY (SELECT image_grid(gray, id, columns => 5) FROM t) TO '${out}/grid.png';
COPY (SELECT rgb FROM t WHERE id = 19) TO '${out}/one.png';
