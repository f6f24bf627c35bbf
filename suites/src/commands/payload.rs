//! `drbench payload`: what the guest will execute, and what must come of it.

use guest_payloads::{Payload, Policy, Rearm};

use crate::cli::PayloadArgs;
use crate::lab;
use crate::status::{Failure, Status};

/// Prints the disassembly with addresses, then the prediction.
pub fn payload(args: &PayloadArgs) -> Result<Status, Failure> {
    let vendor = lab::payload_vendor(lab::cpu_vendor(&args.cpu)?);
    let workload = &args.workload;
    let payload = Payload::assemble(workload, vendor).map_err(Failure::environment)?;
    println!("{workload}");
    print!("{}", payload.listing());
    println!(
        "\n{} bytes; {} instructions between the two time stamps, {} accesses to debug registers \
         per switch",
        payload.code.len(),
        payload.instructions,
        workload.accesses()
    );
    println!("\nexits of the section, if every interposed exit is a full one:");
    println!("{:<10}{:>12}{:>14}{:>10}", "policy", "DR exits", "interposed", "total");
    for policy in Policy::ALL {
        let exits = workload.predict(policy, Rearm::Yes);
        println!("{policy:<10}{:>12}{:>14}{:>10}", exits.dr, exits.interposed, exits.total());
    }
    println!("(the total has the OUT that ends the section)");
    Ok(Status::Done)
}
