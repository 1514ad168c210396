//! PROXY protocol: how a header arrives in pieces must not change whose connection it is, nor how much of it is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passline::api::server::proxy_protocol::{HeaderError, MAX_LENGTH, Origin, Progress, read};

/// As a driver reads: what is asked for, and not a byte more.
fn in_pieces(bytes: &[u8]) -> Option<(Result<Origin, HeaderError>, usize)> {
    let mut come = 0;
    loop {
        match read(&bytes[..come]) {
            Ok(Progress::Complete(origin)) => return Some((Ok(origin), come)),
            Err(error) => return Some((Err(error), come)),
            Ok(Progress::Needs(length)) => {
                assert!(length > come && length <= 16 + MAX_LENGTH, "it gets on, and not too far");
                if come == bytes.len() {
                    return None;
                }
                // One byte at a time, so that each error comes as early as it can.
                come += 1;
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    match in_pieces(bytes) {
        Some((Ok(origin), length)) => {
            assert_eq!(whole, Ok(Progress::Complete(origin)));
            let told = 16 + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
            assert_eq!(length, told, "no byte of the client's is read");
            if let Origin::Client(address) = origin {
                assert_eq!(address, address.to_canonical());
            }
        }
        Some((Err(error), _)) => assert_eq!(whole, Err(error)),
        None => assert!(matches!(whole, Ok(Progress::Needs(_)))),
    }
});
