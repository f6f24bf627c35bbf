-- results.csv and samples.csv of drbench in ClickHouse, as they are: `ci/load` fills the tables. An empty
-- value is NULL: what was not measured is not 0. An empty text stays one.
--
-- Decimal(38, 18) keeps every digit of counts up to 2^64, which Float64 does not, and 18 digits after
-- the point, more than a measured cost has.

-- One row per metric of a run.
CREATE TABLE IF NOT EXISTS results (
    run_id String,
    started_at DateTime64(9, 'UTC'),
    kernel String,
    kernel_id String,
    variant String,
    vendor String,
    machine String,
    cpu_model String,
    suite String,
    workload String,
    policy String,
    interposed String,
    exits_every UInt64,
    armed Bool,
    vcpus UInt32,
    accesses UInt64,
    work UInt64,
    switches UInt64,
    metric String,
    source String,
    unit String,
    value Nullable(Decimal(38, 18)),
    ci_low Nullable(Decimal(38, 18)),
    ci_high Nullable(Decimal(38, 18)),
    samples UInt64,
    predicted Nullable(Decimal(38, 18)),
    deterministic Bool,
    status String,
    reason String
) ENGINE = MergeTree ORDER BY (run_id, suite, workload, metric);

-- The single values behind them, by boot and batch.
CREATE TABLE IF NOT EXISTS samples (
    run_id String,
    kernel String,
    kernel_id String,
    variant String,
    vendor String,
    machine String,
    cpu_model String,
    suite String,
    workload String,
    policy String,
    interposed String,
    exits_every UInt64,
    armed Bool,
    vcpus UInt32,
    accesses UInt64,
    work UInt64,
    switches UInt64,
    metric String,
    source String,
    boot UInt32,
    batch UInt32,
    value Nullable(Decimal(38, 18))
) ENGINE = MergeTree ORDER BY (run_id, suite, workload, metric);

-- As in the other two, for the queries.
CREATE FUNCTION IF NOT EXISTS split_part AS (words, mark, place) -> splitByString(mark, words)[place];
