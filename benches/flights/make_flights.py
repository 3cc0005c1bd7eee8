#!/usr/bin/env python3
"""Replicates the flights to Parquet.

    make_flights.py flights.csv.gz out.parquet --rows 10000000 [--unique]

Plain replication repeats every flight, so that DISTINCT comes back to the 336,776 of the file. With --unique each copy has flight
numbers of its own, so that nearly all rows stay distinct and everything after DISTINCT works on the full number of rows.
"""

import argparse
import os

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

# Flight numbers are below this, so copies cannot meet.
FLIGHT_NUMBERS = 10_000


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("csv")
    arguments.add_argument("out")
    arguments.add_argument("--rows", type=int, default=10_000_000)
    arguments.add_argument("--unique", action="store_true")
    options = arguments.parse_args()

    flights = pyarrow.csv.read_csv(
        options.csv,
        convert_options=pyarrow.csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True),
    ).combine_chunks()
    part = options.out + ".part"
    # Row groups as small as DuckDB writes them: enough of them for every reader to run in parallel.
    with pyarrow.parquet.ParquetWriter(part, flights.schema, compression="snappy") as writer:
        left, copy = options.rows, 0
        while left > 0:
            rows = flights.slice(0, min(left, flights.num_rows))
            if options.unique and copy > 0:
                at = rows.schema.get_field_index("flight")
                moved = pc.add(rows.column(at), pa.scalar(copy * FLIGHT_NUMBERS, pa.int64()))
                rows = rows.set_column(at, "flight", moved)
            writer.write_table(rows, row_group_size=122_880)
            left -= rows.num_rows
            copy += 1
    os.replace(part, options.out)


if __name__ == "__main__":
    main()
