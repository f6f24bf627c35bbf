-- What does one DR exit cost, by kernel version?
--
-- Of the newest policy run of each kernel: the cost of the loop n:5 under guest debug less that of the
-- same loop without accesses, per switch, by the DR exits of a switch. There every access exits on any
-- kernel, so versions can be compared. In the lab the unit is instructions, not cycles.
WITH newest AS (
    SELECT * FROM aged_results
    WHERE age = 1 AND suite = 'policy' AND interposed = 'none' AND vcpus = 1 AND work = 0 AND NOT armed
        AND status IN ('ok', 'unconfirmed')
),
cost AS (
    SELECT * FROM newest
    WHERE (metric = 'instructions' AND machine IN ('qemu-tcg', 'bochs'))
        OR (metric = 'ns' AND machine NOT IN ('qemu-tcg', 'bochs'))
)
SELECT loop.kernel AS kernel, loop.kernel_id AS kernel_id, loop.variant AS variant,
    loop.vendor AS vendor, loop.machine AS machine, loop.unit AS unit,
    (CAST(loop.value AS double precision) - CAST(control.value AS double precision))
        / (CAST(exits.value AS double precision) / CAST(exits.switches AS double precision)) AS cost
FROM cost AS loop
JOIN cost AS control ON control.run_id = loop.run_id AND control.kernel_id = loop.kernel_id
    AND control.variant = loop.variant AND control.vendor = loop.vendor
    AND control.machine = loop.machine AND control.cpu_model = loop.cpu_model
    AND control.switches = loop.switches AND control.source = loop.source
JOIN newest AS exits ON exits.run_id = loop.run_id AND exits.kernel_id = loop.kernel_id
    AND exits.variant = loop.variant AND exits.vendor = loop.vendor
    AND exits.machine = loop.machine AND exits.cpu_model = loop.cpu_model
    AND exits.switches = loop.switches
WHERE loop.workload = 'n:5' AND loop.policy = 'guest-debug'
    AND control.workload = 'none' AND control.policy = 'kernel'
    AND exits.workload = 'n:5' AND exits.policy = 'guest-debug'
    AND exits.metric = 'dr_exits' AND exits.source = 'tracepoint' AND exits.value > 0
ORDER BY vendor, machine, kernel, kernel_id, variant;
