-- Which verdict has each kernel on each vendor now, since when, and what was it before?
--
-- A kernel is its upstream version. A verdict is the first word of its row's reason: of a failed row
-- `unknown`, as the kernel fits no policy. A run that was too disturbed to tell changes none; see
-- open-or-failed.sql.
WITH named AS (
    SELECT kernel, variant, vendor, machine, run_id, started_at,
        trim(split_part(reason, ':', 1)) AS verdict
    FROM results
    WHERE metric = 'verdict' AND status IN ('ok', 'unconfirmed', 'failed')
),
stepped AS (
    SELECT n.*,
        min(verdict) OVER (
            PARTITION BY kernel, variant, vendor, machine ORDER BY started_at, run_id
            ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING
        ) AS verdict_before,
        row_number() OVER (
            PARTITION BY kernel, variant, vendor, machine ORDER BY started_at, run_id
        ) AS place
    FROM named AS n
),
changes AS (
    SELECT s.*,
        row_number() OVER (
            PARTITION BY kernel, variant, vendor, machine ORDER BY started_at DESC, run_id DESC
        ) AS age
    FROM stepped AS s
    WHERE place = 1 OR verdict <> verdict_before
)
SELECT kernel, variant, vendor, machine, verdict, started_at AS since, run_id AS since_run,
    CASE WHEN place > 1 THEN verdict_before END AS before
FROM changes
WHERE age = 1
ORDER BY kernel, variant, vendor, machine;
