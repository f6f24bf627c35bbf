-- What share of a guest's time does a rate of switches cost, under each policy?
--
-- Rows share_lost:POLICY:RATE of the newest slowdown run of each kernel: switches per second, and the
-- share from 0 to 1. Its source tells what was measured from what was not: `model` was computed from
-- measured costs; see the README.
SELECT kernel, kernel_id, variant, vendor, machine, workload, interposed, exits_every,
    split_part(metric, ':', 2) AS under, CAST(split_part(metric, ':', 3) AS bigint) AS rate,
    source, value AS share
FROM aged_results
WHERE age = 1 AND suite = 'slowdown' AND metric LIKE 'share_lost:%:%' AND metric NOT LIKE 'share_lost:%:%:%'
    AND value IS NOT NULL
ORDER BY kernel_id, variant, vendor, machine, workload, interposed, exits_every, under, rate,
    source;
