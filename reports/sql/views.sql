-- The results with their age, for the queries: 1 in the newest run of a kernel, variant, machine and
-- suite, 2 in the run before. The same text for all three databases.
CREATE OR REPLACE VIEW aged_results AS
SELECT r.*,
    dense_rank() OVER (
        PARTITION BY kernel_id, variant, vendor, machine, cpu_model, suite
        ORDER BY started_at DESC, run_id DESC
    ) AS age
FROM results AS r;
