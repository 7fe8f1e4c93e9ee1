//! What a guest does while its network is measured. A static program of its own, built by `build.rs` and put
//! into the guest: an interpreter would be most of what is measured. Prints one number a line.
//!
//! `load VERB ADDRESS [COUNT]`; the address is the host's end, or `own` for one in this very process.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a stream is sent.
const POUR: Duration = Duration::from_secs(2);
const BUFFER: usize = 256 * 1024;
/// Trips that are told, after those that warm up.
const TRIPS: usize = 300;
const WARM_UP: usize = 100;
/// Connects, by so many at once: one at a time would measure trips again.
const CONNECTS: usize = 2000;
const AT_ONCE: usize = 16;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["up", to] => address(to, drain).and_then(up),
        ["down", to] => address(to, drain).and_then(down),
        ["trips", to] => address(to, echo).and_then(trips),
        ["connects", to] => address(to, close).and_then(connects),
        ["hold", to, count] => address(to, drain).and_then(|to| hold(to, count)),
        _ => Err(io::Error::other("load up|down|trips|connects|hold ADDRESS|own [COUNT]")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

/// The address that is meant; `own` opens one here.
fn address(text: &str, serve: fn(TcpStream) -> io::Result<()>) -> io::Result<SocketAddr> {
    if text != "own" {
        return text.parse().map_err(io::Error::other);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let own = listener.local_addr()?;
    std::thread::spawn(move || {
        // One after the other: a thread for each would be most of what is measured.
        for stream in listener.incoming().flatten() {
            let _ = serve(stream);
        }
    });
    Ok(own)
}

/// MB/s that the other side has taken.
fn up(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    let (bytes, mut sent, begun) = (vec![b'x'; BUFFER], 0, Instant::now());
    while begun.elapsed() < POUR {
        sent += stream.write(&bytes)?;
    }
    stream.shutdown(Shutdown::Write)?;
    stream.read_exact(&mut [0])?;
    tell(sent as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// MB/s until the other side ends.
fn down(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    let (mut bytes, mut got, begun) = (vec![0; BUFFER], 0, Instant::now());
    while let count @ 1.. = stream.read(&mut bytes)? {
        got += count;
    }
    tell(got as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// Milliseconds of each trip of one byte.
fn trips(to: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    let mut took = Vec::with_capacity(TRIPS);
    for turn in 0..WARM_UP + TRIPS {
        let begun = Instant::now();
        stream.write_all(b".")?;
        stream.read_exact(&mut [0])?;
        if turn >= WARM_UP {
            took.push(begun.elapsed());
        }
    }
    took.into_iter().try_for_each(|took| tell(took.as_secs_f64() * 1e3))
}

/// Connects and closes a second.
fn connects(to: SocketAddr) -> io::Result<()> {
    let begun = Instant::now();
    let some = move || (0..CONNECTS / AT_ONCE).try_for_each(|_| TcpStream::connect(to).map(drop));
    let all: Vec<_> = (0..AT_ONCE).map(|_| std::thread::spawn(some)).collect();
    for one in all {
        one.join().map_err(|_| io::Error::other("a thread panicked"))??;
    }
    tell((CONNECTS / AT_ONCE * AT_ONCE) as f64 / begun.elapsed().as_secs_f64())
}

/// Holds connections until the other side has closed each.
fn hold(to: SocketAddr, count: &str) -> io::Result<()> {
    let count: usize = count.parse().map_err(io::Error::other)?;
    let mut held = (0..count).map(|_| TcpStream::connect(to)).collect::<io::Result<Vec<_>>>()?;
    held.iter_mut().try_for_each(|stream| stream.read(&mut [0]).map(drop))
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = [0; 4096];
    while let count @ 1.. = stream.read(&mut bytes)? {
        stream.write_all(&bytes[..count])?;
    }
    Ok(())
}

fn drain(mut stream: TcpStream) -> io::Result<()> {
    let mut bytes = vec![0; BUFFER];
    while stream.read(&mut bytes)? > 0 {}
    stream.write_all(b".")
}

fn close(stream: TcpStream) -> io::Result<()> {
    drop(stream);
    Ok(())
}

fn tell(number: f64) -> io::Result<()> {
    writeln!(io::stdout(), "{number}")
}
