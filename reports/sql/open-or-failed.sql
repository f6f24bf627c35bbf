-- Which cells are failed or open now, and why?
--
-- Of the newest run of each kernel, variant, machine and suite, the failed ones first. An open cell is
-- neither pass nor fail: too disturbed to tell.
SELECT status, kernel, kernel_id, variant, vendor, machine, suite, workload, policy, interposed,
    exits_every, metric, source, run_id, reason
FROM aged_results
WHERE age = 1 AND status IN ('failed', 'unresolved')
ORDER BY status, kernel_id, variant, vendor, machine, suite, workload, policy, interposed,
    exits_every, metric, source;
