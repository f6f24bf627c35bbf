-- Which cells are failed or open now, and why?
--
-- Of the newest run of each kernel, variant, machine and suite, the failed ones first. An open cell is
-- neither pass nor fail: too disturbed to tell.
WITH numbered AS (
    SELECT r.*,
        dense_rank() OVER (
            PARTITION BY kernel_id, variant, vendor, machine, cpu_model, suite
            ORDER BY started_at DESC, run_id DESC
        ) AS age
    FROM results AS r
)
SELECT status, kernel, kernel_id, variant, vendor, machine, suite, workload, policy, interposed,
    exits_every, metric, source, run_id, reason
FROM numbered
WHERE age = 1 AND status IN ('failed', 'unresolved')
ORDER BY status, kernel_id, variant, vendor, machine, suite, workload, policy, interposed,
    exits_every, metric, source;
