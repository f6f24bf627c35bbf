//! `drbench payload`: what the guest will execute, and what must come of it.

use guest_payloads::{Payload, Policy, Rearm};

use crate::cli::PayloadArgs;
use crate::lab;
use crate::status::{Failure, Status};
use crate::terminal::{outln, write_out};

/// Prints the disassembly with addresses, then the prediction.
pub fn payload(args: &PayloadArgs) -> Result<Status, Failure> {
    let vendor = lab::payload_vendor(lab::cpu_vendor(&args.cpu)?);
    let workload = &args.workload;
    let payload = Payload::assemble(workload, vendor).map_err(Failure::environment)?;
    outln!("{workload}");
    write_out(format_args!("{}", payload.listing()))?;
    outln!(
        "\n{} bytes; {} instructions between the two time stamps, {} accesses to debug registers \
         per switch",
        payload.code.len(),
        payload.instructions,
        workload.accesses()
    );
    outln!("\nexits of the section, if every interposed exit is a full one:");
    outln!("{:<10}{:>12}{:>14}{:>10}", "policy", "DR exits", "interposed", "total");
    for policy in Policy::ALL {
        let exits = workload.predict(policy, Rearm::Yes);
        outln!("{policy:<10}{:>12}{:>14}{:>10}", exits.dr, exits.interposed, exits.total());
    }
    outln!("(the total has the OUT that ends the section)");
    Ok(Status::Done)
}
