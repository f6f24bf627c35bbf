-- results.csv and samples.csv of drbench in DuckDB, as they are: `ci/load` fills the tables. An empty
-- value is NULL: what was not measured is not 0.
--
-- DECIMAL(38, 18) keeps every digit of counts up to 2^64, which DOUBLE does not, and 18 digits after the
-- point, more than a measured cost has. Times are cut to microseconds.

-- One row per metric of a run.
CREATE TABLE IF NOT EXISTS results (
    run_id VARCHAR,
    started_at TIMESTAMPTZ,
    kernel VARCHAR,
    kernel_id VARCHAR,
    variant VARCHAR,
    vendor VARCHAR,
    machine VARCHAR,
    cpu_model VARCHAR,
    suite VARCHAR,
    workload VARCHAR,
    policy VARCHAR,
    interposed VARCHAR,
    exits_every UBIGINT,
    armed BOOLEAN,
    vcpus UINTEGER,
    accesses UBIGINT,
    work UBIGINT,
    switches UBIGINT,
    metric VARCHAR,
    source VARCHAR,
    unit VARCHAR,
    value DECIMAL(38, 18),
    ci_low DECIMAL(38, 18),
    ci_high DECIMAL(38, 18),
    samples UBIGINT,
    predicted DECIMAL(38, 18),
    deterministic BOOLEAN,
    status VARCHAR,
    reason VARCHAR
);

-- The single values behind them, by boot and batch.
CREATE TABLE IF NOT EXISTS samples (
    run_id VARCHAR,
    kernel VARCHAR,
    kernel_id VARCHAR,
    variant VARCHAR,
    vendor VARCHAR,
    machine VARCHAR,
    cpu_model VARCHAR,
    suite VARCHAR,
    workload VARCHAR,
    policy VARCHAR,
    interposed VARCHAR,
    exits_every UBIGINT,
    armed BOOLEAN,
    vcpus UINTEGER,
    accesses UBIGINT,
    work UBIGINT,
    switches UBIGINT,
    metric VARCHAR,
    source VARCHAR,
    boot UINTEGER,
    batch UINTEGER,
    value DECIMAL(38, 18)
);
