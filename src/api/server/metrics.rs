//! What the server counts. No address and no name is in here.

use crate::counter::Counter;

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident),+ $(,)?) => {
        /// Numbers, from zero on.
        #[derive(Debug, Default)]
        pub struct ServerMetrics {
            $($(#[doc = $help])+ pub $name: Counter,)+
        }

        impl ServerMetrics {
            /// Each counter with its name and help, for whoever exports them.
            pub fn counters(&self) -> impl Iterator<Item = (&'static str, &'static str, &Counter)> {
                [$((stringify!($name), concat!($($help),+).trim_ascii(), &self.$name)),+].into_iter()
            }
        }
    };
}

counters! {
    /// Connections that were given a place
    connections_accepted,
    /// Of these, connections that have ended, whoever ended them
    connections_closed,
    /// Errors in accepting connections, such as no file handle left
    accept_errors,
    /// Connections closed before TLS because no client may come from their address
    refused_by_gate,
    /// Connections closed because all places were taken by running requests
    refused_full,
    /// Connections closed because their address had its share already
    refused_per_address,
    /// Connections of trusted proxies without a PROXY header that could be used, or with a late one
    refused_proxy_header,
    /// Idle connections closed to make room
    gave_way,
    /// TLS handshakes that failed
    handshakes_failed,
    /// TLS handshakes that took too long
    handshakes_late,
    /// Requests begun
    requests,
    /// Requests refused because of their form: no HTTP, two lengths, a method or coding that is not spoken
    requests_malformed,
    /// Requests refused because their head was too large
    requests_head_large,
    /// Requests refused because their head took too long
    requests_head_late,
    /// Requests refused because their body was too large
    requests_body_large,
    /// Requests refused because their body took too long
    requests_body_late,
    /// Requests refused because too much of bodies came at once on their connection
    requests_bodies_crowded,
    /// Requests refused because a trusted proxy did not say whom they are from
    requests_unattributed,
    /// Requests refused because a trusted proxy passed them on from where no client may come
    requests_refused_by_gate,
    /// Requests whose answer took too long to be made
    requests_overlong,
    /// Requests whose client did not take the answer to its end
    requests_cancelled,
    /// Connections, or requests over HTTP/2, cut because their client took nothing of an answer, or took too long for it
    cut_not_reading,
    /// Connections cut because their client took back too many requests
    cut_cancelling,
    /// Connections closed because they were idle
    cut_idle,
    /// Certificates and keys read anew
    certificates_reloaded,
    /// Changed certificates and keys that cannot be used
    certificates_unusable,
}

impl ServerMetrics {
    /// Connections that are open now.
    #[must_use]
    pub fn connections_open(&self) -> u64 {
        let closed = self.connections_closed.count();
        self.connections_accepted.count().saturating_sub(closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_names_and_help() {
        let metrics = ServerMetrics::default();
        metrics.gave_way.add_one();
        let (name, help, counter) = metrics.counters().find(|(name, ..)| *name == "gave_way").expect("it");
        assert_eq!(
            (name, help, counter.count()),
            ("gave_way", "Idle connections closed to make room", 1)
        );
    }
}
