-- Which exact cells changed between the last two runs of a kernel?
--
-- Rows that must be the same to the digit, of the last two runs of each kernel, variant, machine and
-- suite: another value, another status, missing in the later run, or new in it. Noisy rows differ every
-- time: `drbench compare` judges those.
WITH pairs AS (
    SELECT kernel, kernel_id, variant, vendor, machine, cpu_model, suite, workload, policy, interposed,
        exits_every, armed, vcpus, accesses, work, switches, metric, source,
        max(CASE WHEN age = 2 THEN value END) AS before_value,
        max(CASE WHEN age = 1 THEN value END) AS after_value,
        max(CASE WHEN age = 2 THEN status END) AS before_status,
        max(CASE WHEN age = 1 THEN status END) AS after_status
    FROM aged_results
    WHERE age <= 2 AND deterministic
    GROUP BY kernel, kernel_id, variant, vendor, machine, cpu_model, suite, workload, policy, interposed,
        exits_every, armed, vcpus, accesses, work, switches, metric, source
),
twice AS (
    SELECT kernel_id, variant, vendor, machine, cpu_model, suite
    FROM aged_results
    WHERE age = 2
    GROUP BY kernel_id, variant, vendor, machine, cpu_model, suite
)
SELECT p.kernel AS kernel, p.kernel_id AS kernel_id, p.variant AS variant, p.vendor AS vendor,
    p.machine AS machine, p.suite AS suite, p.workload AS workload, p.policy AS policy,
    p.interposed AS interposed, p.exits_every AS exits_every, p.switches AS switches,
    p.metric AS metric, p.source AS source,
    p.before_value AS before_value, p.after_value AS after_value,
    CASE WHEN p.before_status IS NULL THEN 'new'
        WHEN p.after_status IS NULL THEN 'missing'
        ELSE 'changed' END AS change
FROM pairs AS p
JOIN twice AS t ON t.kernel_id = p.kernel_id AND t.variant = p.variant AND t.vendor = p.vendor
    AND t.machine = p.machine AND t.cpu_model = p.cpu_model AND t.suite = p.suite
WHERE p.before_status IS NULL OR p.after_status IS NULL OR p.before_status <> p.after_status
    OR (p.before_value IS NULL AND p.after_value IS NOT NULL)
    OR (p.before_value IS NOT NULL AND p.after_value IS NULL)
    OR p.before_value <> p.after_value
ORDER BY kernel_id, variant, vendor, machine, suite, workload, policy, interposed, exits_every,
    switches, metric, source;
