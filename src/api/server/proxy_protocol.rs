//! The PROXY protocol, version 2: a load balancer that does not open TLS says for whom it connects; sans-IO.
//!
//! After haproxy's `proxy-protocol.txt`, section 2.2:
//!
//! ```text
//!  0               12   13   14     16                                  16 + length
//!  ├ signature ────┼ v|c┼ f|t┼ length ┼ addresses and ports ── TLVs ────┤ what the client sent
//!                    │    └ family and transport: 11 TCP over IPv4, 21 TCP over IPv6, 00 unspecified
//!                    └ version 2; command 0 LOCAL, 1 PROXY
//! ```
//!
//! LOCAL is the proxy's own connection, such as a health check. Additional fields (TLVs) are skipped, but for the
//! checksum, which must be right if it is there (section 2.2.2). A relayed connection whose client is not told
//! (unspecified, UNIX socket) or that is no stream is an error: whose it is would have to be guessed. Version 1, the one
//! in text, is not spoken: its length is known only at its end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The bytes up to the length.
const FIXED: usize = 16;

/// Section 2.2: chosen so that it is neither text nor TLS.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The longest part after the first 16 bytes. Addresses are 12 or 36 bytes; fields about the client's TLS, the largest
/// that proxies send, stay far below a kilobyte.
pub const MAX_LENGTH: usize = 1_024;

/// The type of the field with the checksum (section 2.2.1).
const CRC32C: u8 = 0x03;

/// How far a header has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It is this long at least; not a byte behind that may be read, for it may be the client's.
    Needs(usize),
    /// It is complete.
    Complete(Origin),
}

/// For whom a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// For the proxy itself.
    Local,
    /// For a client at this address.
    Client(IpAddr),
}

/// No header that could be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// It begins with something else, perhaps version 1 or TLS.
    #[error("no PROXY protocol version 2")]
    Signature,
    /// Neither LOCAL nor PROXY, or another version.
    #[error("version and command are {0:#04x}, neither LOCAL nor PROXY of version 2")]
    Command(u8),
    /// Longer than anybody needs.
    #[error("{0} bytes of addresses and fields are more than the 1,024 that are read")]
    TooLong(usize),
    /// Whose connection it is, is not said.
    #[error("family and transport are {0:#04x}, neither TCP over IPv4 nor over IPv6")]
    Family(u8),
    /// Addresses or a field go beyond the length.
    #[error("addresses and fields do not fit into the length")]
    Truncated,
    /// Broken on its way, or made wrongly.
    #[error("the checksum is wrong")]
    Checksum,
}

/// Reads what has come so far. More bytes never change an error, nor what is complete.
///
/// # Errors
/// As soon as it is certain that no header comes of it.
pub fn read(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes[..begun] != SIGNATURE[..begun] {
        return Err(HeaderError::Signature);
    }
    let command = bytes.get(12).copied();
    if let Some(other) = command.filter(|command| !matches!(command, 0x20 | 0x21)) {
        return Err(HeaderError::Command(other));
    }
    let Some(fixed) = bytes.get(..FIXED) else {
        return Ok(Progress::Needs(FIXED));
    };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MAX_LENGTH {
        return Err(HeaderError::TooLong(length));
    }
    let Some(header) = bytes.get(..FIXED + length) else {
        return Ok(Progress::Needs(FIXED + length));
    };
    let (client, addresses) = match (fixed[12], fixed[13]) {
        // The rest is to be discarded, whatever it is.
        (0x20, _) => return Ok(Progress::Complete(Origin::Local)),
        // Two addresses and two ports.
        (_, 0x11) => (Ipv4Addr::from(source(header)?).into(), 12),
        (_, 0x21) => (IpAddr::from(Ipv6Addr::from(source(header)?)).to_canonical(), 36),
        (_, family) => return Err(HeaderError::Family(family)),
    };
    check_fields(header, FIXED + addresses)?;
    Ok(Progress::Complete(Origin::Client(client)))
}

/// The first of the addresses.
fn source<const N: usize>(header: &[u8]) -> Result<[u8; N], HeaderError> {
    let bytes = header.get(FIXED..FIXED + N).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(HeaderError::Truncated)
}

/// Walks through the fields: a type, a length of two bytes, a value.
fn check_fields(header: &[u8], mut at: usize) -> Result<(), HeaderError> {
    if header.len() < at {
        return Err(HeaderError::Truncated);
    }
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + 3) else {
            return Err(HeaderError::Truncated);
        };
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let Some(bytes) = header.get(value.clone()) else {
            return Err(HeaderError::Truncated);
        };
        if kind == CRC32C {
            let told: [u8; 4] = bytes.try_into().map_err(|_| HeaderError::Checksum)?;
            // Over the whole header, the checksum itself taken for zero.
            let parts = [&header[..value.start], &[0; 4], &header[value.end..]];
            if crc32c(&parts) != u32::from_be_bytes(told) {
                return Err(HeaderError::Checksum);
            }
        }
        at = value.end;
    }
    Ok(())
}

/// CRC-32C (RFC 3385, appendix; Castagnoli's polynomial, reflected), bit by bit: a kilobyte once a connection.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header with a right length.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("a length");
        [&SIGNATURE[..], &[command, family], &length.to_be_bytes(), rest].concat()
    }

    fn client(bytes: &[u8]) -> String {
        match read(bytes) {
            Ok(Progress::Complete(Origin::Client(address))) => address.to_string(),
            other => format!("{other:?}"),
        }
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x01, 0xbb];

    #[test]
    fn a_client_is_named_by_ipv4_or_ipv6() {
        assert_eq!(client(&header(0x21, 0x11, &IPV4)), "192.0.2.7");
        let mut ipv6 = [0; 36];
        ipv6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().expect("an address").octets());
        assert_eq!(client(&header(0x21, 0x21, &ipv6)), "2001:db8::7");
        ipv6[..16].copy_from_slice(&Ipv4Addr::new(192, 0, 2, 8).to_ipv6_mapped().octets());
        assert_eq!(client(&header(0x21, 0x21, &ipv6)), "192.0.2.8");
    }

    #[test]
    fn the_proxy_itself_has_whatever_addresses() {
        for rest in [&[][..], &IPV4, &[0xff; 36]] {
            for family in [0x00, 0x11, 0x21, 0xff] {
                let bytes = header(0x20, family, rest);
                assert_eq!(read(&bytes), Ok(Progress::Complete(Origin::Local)), "{bytes:?}");
            }
        }
    }

    #[test]
    fn a_client_that_is_not_named_is_not_guessed() {
        for family in [0x00, 0x10, 0x12, 0x22, 0x31, 0x41] {
            assert_eq!(read(&header(0x21, family, &[0; 216])), Err(HeaderError::Family(family)));
        }
        assert_eq!(read(&header(0x21, 0x11, &IPV4[..11])), Err(HeaderError::Truncated));
        assert_eq!(read(&header(0x21, 0x21, &[0; 35])), Err(HeaderError::Truncated));
    }

    #[test]
    fn what_is_no_header_is_known_by_its_first_wrong_byte() {
        assert_eq!(read(&[0x16, 0x03, 0x01]), Err(HeaderError::Signature), "TLS");
        assert_eq!(read(b"PROXY TCP4 192.0.2.7"), Err(HeaderError::Signature), "version 1");
        assert_eq!(read(b"\r\n\r\nX"), Err(HeaderError::Signature));
        for command in [0x00, 0x01, 0x11, 0x22, 0x31] {
            let begun = [&SIGNATURE[..], &[command]].concat();
            assert_eq!(read(&begun), Err(HeaderError::Command(command)));
        }
        let long = [&SIGNATURE[..], &[0x21, 0x11], &1_025_u16.to_be_bytes()].concat();
        assert_eq!(read(&long), Err(HeaderError::TooLong(1_025)));
    }

    #[test]
    fn fields_are_skipped_and_must_fit() {
        // ALPN "h2" and four bytes of nothing.
        let fields = [&[0x01, 0, 2][..], b"h2", &[0x04, 0, 4, 0, 0, 0, 0]].concat();
        assert_eq!(client(&header(0x21, 0x11, &[&IPV4[..], &fields].concat())), "192.0.2.7");
        for cut in 1..fields.len() {
            let bytes = header(0x21, 0x11, &[&IPV4[..], &fields[..cut]].concat());
            let whole = cut == 5;
            assert_eq!(read(&bytes).is_ok(), whole, "{cut}");
        }
    }

    fn with_checksum(addresses: &[u8], after: &[u8]) -> Vec<u8> {
        let rest = [addresses, &[CRC32C, 0, 4, 0, 0, 0, 0], after].concat();
        let mut bytes = header(0x21, 0x11, &rest);
        let checksum = crc32c(&[&bytes]).to_be_bytes();
        let at = FIXED + addresses.len() + 3;
        bytes[at..at + 4].copy_from_slice(&checksum);
        bytes
    }

    #[test]
    fn a_checksum_must_be_right() {
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xE306_9283, "the check value of CRC-32C");
        let right = with_checksum(&IPV4, &[0x04, 0, 1, 9]);
        assert_eq!(client(&right), "192.0.2.7");
        for at in FIXED..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            assert!(read(&wrong).is_err() || at == FIXED + 12, "byte {at}");
        }
        let short = header(0x21, 0x11, &[&IPV4[..], &[CRC32C, 0, 3, 0, 0, 0]].concat());
        assert_eq!(read(&short), Err(HeaderError::Checksum));
    }

    proptest! {
        #[test]
        fn pieces_tell_the_same_as_the_whole(command in 0x1f..0x23_u8, family: u8, rest in prop::collection::vec(any::<u8>(), 0..80), behind in prop::collection::vec(any::<u8>(), 0..8)) {
            let bytes = [header(command, family, &rest), behind].concat();
            let whole = read(&bytes);
            let end = FIXED + rest.len();
            for cut in 0..bytes.len() {
                match read(&bytes[..cut]) {
                    Ok(Progress::Needs(more)) => prop_assert!(more > cut && more <= end),
                    early => {
                        prop_assert_eq!(early, whole);
                        prop_assert!(early.is_err() || cut >= end);
                    }
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes);
            let _ = read(&[&SIGNATURE[..], &bytes].concat());
        }
    }
}
