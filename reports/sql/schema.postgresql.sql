-- results.csv and samples.csv of drbench in PostgreSQL (15 or newer), as they are: `ci/load` fills the
-- tables. An empty value is NULL: what was not measured is not 0.
--
-- numeric keeps every digit, of counts up to 2^64 as of costs. Times are rounded to microseconds.

-- One row per metric of a run.
CREATE TABLE IF NOT EXISTS results (
    run_id text,
    started_at timestamptz,
    kernel text,
    kernel_id text,
    variant text,
    vendor text,
    machine text,
    cpu_model text,
    suite text,
    workload text,
    policy text,
    interposed text,
    exits_every numeric(20, 0),
    armed boolean,
    vcpus bigint,
    accesses numeric(20, 0),
    work numeric(20, 0),
    switches numeric(20, 0),
    metric text,
    source text,
    unit text,
    value numeric,
    ci_low numeric,
    ci_high numeric,
    samples numeric(20, 0),
    predicted numeric,
    deterministic boolean,
    status text,
    reason text
);

-- The single values behind them, by boot and batch.
CREATE TABLE IF NOT EXISTS samples (
    run_id text,
    kernel text,
    kernel_id text,
    variant text,
    vendor text,
    machine text,
    cpu_model text,
    suite text,
    workload text,
    policy text,
    interposed text,
    exits_every numeric(20, 0),
    armed boolean,
    vcpus bigint,
    accesses numeric(20, 0),
    work numeric(20, 0),
    switches numeric(20, 0),
    metric text,
    source text,
    boot bigint,
    batch bigint,
    value numeric
);

CREATE INDEX IF NOT EXISTS results_run ON results (run_id);
CREATE INDEX IF NOT EXISTS results_metric ON results (metric, workload);
CREATE INDEX IF NOT EXISTS samples_run ON samples (run_id);
