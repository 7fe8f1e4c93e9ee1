//! A network as it is asked for on the command line: the flags that `create` and `run` share.

use clap::Args;
use machine_sdk::api::NetworkWish;
use machine_sdk::api::network::{EgressWish, ForwardWish};
use machine_sdk::api::word::{NetworkModeWord, VerdictWord};

use super::word::choice;

/// What the machine's network shall be.
#[derive(Debug, Default, Args)]
pub(crate) struct NetworkWanted {
    /// port of this host that leads to it: PORT or [ADDRESS:]HOST:GUEST, each with an optional /udp; HOST 0
    /// is one that is free; may be repeated
    #[arg(short, long, value_name = "SPEC", help_heading = "Network")]
    port: Vec<String>,

    /// user (reaches the internet), or none (has no network) [default: user]
    #[arg(long, value_name = "MODE", value_parser = choice::mode, help_heading = "Network")]
    network: Option<NetworkModeWord>,

    /// allow or deny, what no ENTRY fits [default: allow]
    #[arg(long, value_name = "POLICY", value_parser = choice::verdict, help_heading = "Network")]
    egress: Option<VerdictWord>,

    /// let it reach this, also if it is private: ADDRESS, CIDR, HOST or *.DOMAIN, with an optional :PORT
    /// and /tcp, /udp or /icmp; may be repeated
    #[arg(long, value_name = "ENTRY", help_heading = "Network")]
    allow: Vec<String>,

    /// never let it reach this; wins over --allow; may be repeated
    #[arg(long, value_name = "ENTRY", help_heading = "Network")]
    deny: Vec<String>,

    /// let it trust the certificate authorities that this host trusts
    #[arg(long, help_heading = "Network")]
    host_ca: bool,

    /// pass this host's proxy settings on
    #[arg(long, help_heading = "Network")]
    proxy: bool,
}

impl NetworkWanted {
    /// As the server is asked; nothing, if nothing is asked for.
    pub(crate) fn wish(&self) -> Option<NetworkWish> {
        let some = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
        let egress = EgressWish {
            policy: self.egress,
            allow: some(&self.allow),
            deny: some(&self.deny),
            ..EgressWish::default()
        };
        let wish = NetworkWish {
            mode: self.network,
            egress: (egress != EgressWish::default()).then_some(egress),
            forwards: some(&self.port).map(|ports| ports.into_iter().map(ForwardWish::Text).collect()),
            host_ca: self.host_ca.then_some(true),
            proxy: self.proxy.then_some(true),
            ..NetworkWish::default()
        };
        (wish != NetworkWish::default()).then_some(wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::{Value, json};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        network: NetworkWanted,
    }

    fn check(line: &str, wish: &Value) {
        let line = Line::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(serde_json::to_value(line.network.wish()).unwrap(), *wish);
    }

    #[test]
    fn only_what_is_asked_for_is_sent() {
        check("run", &Value::Null);
        check("run --network none", &json!({"mode": "none"}));
        check("run -p 80 -p 0:53/udp", &json!({"forwards": ["80", "0:53/udp"]}));
        let egress = json!({"egress": {"policy": "deny", "allow": ["a.example", "10.0.0.1"], "deny": ["*.b.example"]}});
        check("run --egress deny --allow a.example --allow 10.0.0.1 --deny *.b.example", &egress);
        check("run --host-ca --proxy", &json!({"host_ca": true, "proxy": true}));
    }

    #[test]
    fn other_words_are_refused() {
        for line in ["run --network bridge", "run --egress maybe", "run --port"] {
            assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
