//! The cage of the compile worker: from [`enter`] on, the process can compute, read its standard
//! input and write its standard output, within bounds.

use super::reply::DEFENCES;
use rustix::io;
use rustix::process::{Resource, Rlimit, Signal, nice, set_parent_process_death_signal, setrlimit};

/// Enters the cage. Returns the [`DEFENCES`] that this kernel lacks, as bits.
///
/// # Errors
/// A limit cannot be set.
pub(super) fn enter(memory_bytes: u64, cpu_seconds: u64) -> io::Result<u8> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nproc, 0)?;
    // Not `As`: an engine reserves more address space than it uses.
    limit(Resource::Data, memory_bytes)?;
    let cpu = Rlimit { current: Some(cpu_seconds), maximum: Some(cpu_seconds.saturating_add(1)) };
    setrlimit(Resource::Cpu, cpu)?;
    // Requests come first.
    let _ = nice(10);
    let missing = restrict_system_calls();
    Ok(missing)
}

fn limit(resource: Resource, max: u64) -> io::Result<()> {
    setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) })
}

/// Denies files, network and all system calls but a few to this thread. Returns the [`DEFENCES`]
/// that this kernel lacks, as bits.
fn restrict_system_calls() -> u8 {
    let enforced =
        [rustix::thread::set_no_new_privs(true).is_ok(), deny_files_and_network().is_some(), filter().is_some()];
    debug_assert_eq!(enforced.len(), DEFENCES.len());
    enforced.into_iter().rev().fold(0, |bits, enforced| (bits << 1) | u8::from(!enforced))
}

/// Denies every access to files and network that the kernel's Landlock knows. Returns `None` if it
/// has no Landlock.
fn deny_files_and_network() -> Option<()> {
    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};

    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V6))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V6)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create);
    let status = rules.and_then(|rules| rules.restrict_self()).ok()?;
    (status.ruleset != RulesetStatus::NotEnforced).then_some(())
}

/// Lets system calls fail with `EPERM`, except for those that computing, reading standard input and
/// writing standard output and error need. Returns `None` if the kernel has no seccomp.
fn filter() -> Option<()> {
    use seccompiler::SeccompCmpArgLen::Dword;
    use seccompiler::SeccompCmpOp::{Eq, Le, MaskedEq};
    use seccompiler::{BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, apply_filter};

    let argument = |index, operator, value| {
        SeccompCondition::new(index, Dword, operator, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .ok()
    };
    let executable = u64::try_from(libc::PROT_EXEC).ok()?;
    let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> = [
        (libc::SYS_read, argument(0, Eq, 0)?),
        (libc::SYS_write, argument(0, Le, 2)?),
        (libc::SYS_writev, argument(0, Le, 2)?),
        (libc::SYS_mmap, argument(2, MaskedEq(executable), 0)?),
        (libc::SYS_mprotect, argument(2, MaskedEq(executable), 0)?),
    ]
    .into_iter()
    .map(|(call, rule)| (call, vec![rule]))
    .collect();
    let unconditional = [
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_yield,
        libc::SYS_sigaltstack,
        libc::SYS_tgkill,
    ];
    rules.extend(unconditional.map(|call| (call, Vec::new())));
    let denied = SeccompAction::Errno(u32::try_from(libc::EPERM).ok()?);
    let architecture = std::env::consts::ARCH.try_into().ok()?;
    let filter = SeccompFilter::new(rules, denied, SeccompAction::Allow, architecture).ok()?;
    apply_filter(&BpfProgram::try_from(filter).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::{fs, thread};

    /// Landlock and seccomp restrict a thread; the limits would restrict the process of the tests.
    #[test]
    fn a_caged_thread_reaches_no_file_and_no_network_and_starts_no_program() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let denied = thread::spawn(move || {
            let missing = restrict_system_calls();
            let attempts = [
                File::open("/proc/self/status").err(),
                fs::write("/tmp/keyward-cage", "x").err(),
                fs::read_dir("/").err(),
                TcpStream::connect(address).err(),
                TcpListener::bind("127.0.0.1:0").err(),
                Command::new("/bin/true").status().err(),
                thread::Builder::new().spawn(|| ()).err(),
            ];
            (missing, attempts.map(|error| error.map(|error| error.kind())))
        });
        let (missing, denied) = denied.join().unwrap();
        assert_eq!(missing, 0, "of {DEFENCES:?}");
        assert_eq!(denied, [Some(ErrorKind::PermissionDenied); 7]);
    }
}
