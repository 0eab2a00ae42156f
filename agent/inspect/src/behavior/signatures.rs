//! What each behaviour says it found.

use std::sync::Arc;

use crate::{anomaly::Anomaly, signature::Signature};

/// The behaviours, by signature id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Behavior {
    PortScan = 1,
    FinScan = 2,
    NullScan = 3,
    XmasScan = 4,
    AckScan = 5,
    UdpScan = 6,
    TcpSweep = 10,
    UdpSweep = 11,
    EchoSweep = 12,
    NetworkScan = 13,
    SynFlood = 20,
}

impl Behavior {
    const ALL: [Self; 11] = [
        Self::PortScan,
        Self::FinScan,
        Self::NullScan,
        Self::XmasScan,
        Self::AckScan,
        Self::UdpScan,
        Self::TcpSweep,
        Self::UdpSweep,
        Self::EchoSweep,
        Self::NetworkScan,
        Self::SynFlood,
    ];

    const fn message(self) -> &'static str {
        match self {
            Self::PortScan => "TCP port scan",
            Self::FinScan => "TCP FIN port scan",
            Self::NullScan => "TCP NULL port scan",
            Self::XmasScan => "TCP Xmas port scan",
            Self::AckScan => "TCP ACK port scan",
            Self::UdpScan => "UDP port scan",
            Self::TcpSweep => "TCP sweep of one port over many hosts",
            Self::UdpSweep => "UDP sweep of one port over many hosts",
            Self::EchoSweep => "ICMP echo sweep over many hosts",
            Self::NetworkScan => "Scan of many ports on many hosts",
            Self::SynFlood => "TCP SYN flood",
        }
    }

    /// Class, severity and ATT&CK technique.
    const fn meaning(self) -> (&'static str, u8, &'static [&'static str]) {
        match self {
            Self::SynFlood => ("attempted-dos", 2, &["T1499.001"]),
            Self::TcpSweep | Self::UdpSweep => ("network-scan", 3, &["T1046", "T1018"]),
            Self::EchoSweep => ("network-scan", 3, &["T1018"]),
            Self::NetworkScan => ("network-scan", 3, &["T1046"]),
            _ => ("attempted-recon", 2, &["T1046"]),
        }
    }

    fn signature(self) -> Signature {
        let (classtype, severity, attack) = self.meaning();
        signature(self as u32, self.message(), classtype, severity, attack)
    }
}

/// One signature for each behaviour and each anomaly.
#[derive(Debug)]
pub(crate) struct Signatures {
    behaviors: Vec<(Behavior, Arc<Signature>)>,
    anomalies: Vec<Arc<Signature>>,
}

impl Signatures {
    pub(crate) fn new() -> Self {
        let anomalies = Anomaly::ALL.into_iter().map(|anomaly| {
            let message = format!("Malformed traffic: {}", anomaly.name());
            Arc::new(signature(
                anomaly.sid(),
                &message,
                "protocol-command-decode",
                3,
                &[],
            ))
        });
        let behaviors = Behavior::ALL
            .into_iter()
            .map(|behavior| (behavior, Arc::new(behavior.signature())));
        Self {
            behaviors: behaviors.collect(),
            anomalies: anomalies.collect(),
        }
    }

    pub(crate) fn behavior(&self, behavior: Behavior) -> Option<Arc<Signature>> {
        let mut all = self.behaviors.iter();
        all.find(|(other, _)| *other == behavior)
            .map(|(_, signature)| Arc::clone(signature))
    }

    pub(crate) fn anomaly(&self, anomaly: Anomaly) -> Option<Arc<Signature>> {
        self.anomalies.get(anomaly.index()).map(Arc::clone)
    }
}

fn signature(sid: u32, message: &str, classtype: &str, severity: u8, attack: &[&str]) -> Signature {
    Signature {
        gid: Signature::BEHAVIOR_GID,
        sid,
        rev: 1,
        msg: message.to_owned(),
        classtype: classtype.to_owned(),
        severity,
        attack: attack.iter().map(|&id| id.to_owned()).collect(),
        metadata: Vec::new(),
        references: Vec::new(),
    }
}
