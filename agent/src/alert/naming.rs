//! How events name this host, its cluster, and services.

use std::sync::Arc;

use crate::{
    census::{ServiceBy, node_name},
    config,
};

/// How events name things that no packet tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// This host (`host`, as in Suricata's EVE); none where capture files are read, unless it is
    /// configured.
    pub host: Option<Arc<str>>,
    /// The cluster that it is of.
    pub cluster: Option<Arc<str>>,
    /// What makes containers one service, in the order of trial.
    pub service_by: Vec<ServiceBy>,
}

impl Naming {
    /// For live traffic.
    #[must_use]
    pub fn of_host(census: &config::Census) -> Self {
        Self {
            host: Some(census.host.clone().unwrap_or_else(node_name).into()),
            ..Self::of_capture(census)
        }
    }

    /// For capture files, which may be from anywhere.
    #[must_use]
    pub fn of_capture(census: &config::Census) -> Self {
        Self {
            host: census.host.as_deref().map(Into::into),
            cluster: census.cluster.as_deref().map(Into::into),
            service_by: census.service_by.clone(),
        }
    }
}
