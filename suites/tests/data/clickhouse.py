"""clickhouse-client, as far as ci/load and the tests use it: statements on standard input, run one by one
in the directory that $CLICKHOUSE_DIR names; the rows of queries on standard output, as CSV."""

import os
import sys

from chdb import session

statements = [text for text in sys.stdin.read().split(";\n") if text.strip()]
database = session.Session(os.environ["CLICKHOUSE_DIR"])
for statement in statements:
    print(database.query(statement, "CSVWithNames"), end="")
