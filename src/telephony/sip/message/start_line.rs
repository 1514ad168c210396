//! The start line (RFC 3261 sections 7.1 and 7.2), read so that what is wrong with it can be answered.

use super::fields::is_token_text;
use super::method::Method;
use super::parse::{Defect, ParseError};

/// The start line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// `METHOD uri SIP/2.0`.
    Request {
        /// The method.
        method: Method,
        /// The Request-URI, unchecked.
        uri: Box<str>,
    },
    /// `SIP/2.0 status reason`.
    Response {
        /// 100 to 699; 0 when it is none, which is a defect.
        status: u16,
    },
}

/// What a start line says, as far as it can be read.
pub(super) struct StartLine {
    pub(super) start: Start,
    pub(super) defect: Option<Defect>,
    /// Whether it says that it is SIP.
    pub(super) has_version: bool,
}

impl StartLine {
    pub(super) fn parse(line: &str) -> Result<Self, ParseError> {
        if is_sip(line) {
            Ok(status_line(line))
        } else {
            request_line(line)
        }
    }
}

fn is_sip(version: &str) -> bool {
    version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/"))
}

fn status_line(line: &str) -> StartLine {
    let mut parts = line.splitn(3, ' ');
    let (version, status) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let three_digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    let status = status
        .parse()
        .ok()
        .filter(|status| three_digits && (100..700).contains(status));
    let is_current = version.eq_ignore_ascii_case("SIP/2.0");
    StartLine {
        start: Start::Response {
            status: status.unwrap_or_default(),
        },
        defect: match status {
            _ if !is_current => Some(Defect::Version),
            None => Some(Defect::StartLine),
            Some(_) => None,
        },
        has_version: true,
    }
}

fn request_line(line: &str) -> Result<StartLine, ParseError> {
    // Trailing spaces are cut to find the version, and remembered.
    let spaces = [' ', '\t'];
    let trimmed = line.trim_end_matches(spaces);
    let (method, rest) = trimmed.split_once(spaces).ok_or(ParseError::NotSip)?;
    let (uri, version) = match rest.rsplit_once(spaces) {
        Some((uri, version)) if is_sip(version) => (uri, version),
        _ if is_token_text(method) => (rest, ""),
        _ => return Err(ParseError::NotSip),
    };
    let has_version = !version.is_empty();
    let defect = if has_version && !version.eq_ignore_ascii_case("SIP/2.0") {
        Some(Defect::Version)
    } else if !has_version
        || trimmed.len() != line.len()
        || !is_token_text(method)
        || line.contains('\t')
        || uri.contains(' ')
    {
        Some(Defect::StartLine)
    } else {
        None
    };
    let start = Start::Request {
        method: Method::from_token(method),
        uri: uri.into(),
    };
    Ok(StartLine {
        start,
        defect,
        has_version,
    })
}
