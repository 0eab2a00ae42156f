//! Connections that others announced: what FTP transfers goes by another way than its commands.

use core::net::IpAddr;
use std::collections::VecDeque;

use super::application::Application;
use crate::{
    flow::Flow,
    packet::Timestamp,
    protocol::{
        AppProtocol, Limits,
        ftp::{Expectation, ftp_data::FtpData},
        registry::Transport,
    },
};

/// Announced connections of all flows; beyond, the oldest is given up.
const MOST: usize = 1_024;
/// How long one is waited for, in nanoseconds.
const PATIENCE: u64 = 60_000_000_000;
const TCP: u8 = 6;

#[derive(Debug)]
struct Announced {
    from: IpAddr,
    to: IpAddr,
    port: u16,
    scope: u64,
    since: Timestamp,
    expectation: Expectation,
}

/// All that is waited for, oldest first.
#[derive(Debug, Default)]
pub(super) struct Expected {
    waiting: VecDeque<Announced>,
}

impl Expected {
    /// Takes up what the flow has announced. An address that belongs to neither end is not believed.
    pub(super) fn announce(&mut self, flow: &mut Flow, scope: u64, now: Timestamp) {
        let Some(application) = &mut flow.application else {
            return;
        };
        for expectation in application.take_announced() {
            let (client, server) = (flow.client.socket.address, flow.server.socket.address);
            let (from, to) = if expectation.active {
                (server, client)
            } else {
                (client, server)
            };
            if self.waiting.len() >= MOST {
                self.waiting.pop_front();
            }
            self.waiting.push_back(Announced {
                from,
                to,
                port: expectation.port,
                scope,
                since: now,
                expectation,
            });
        }
    }

    /// What a connection of which nothing was said yet carries, if it was announced.
    pub(super) fn take(
        &mut self,
        flow: &Flow,
        scope: u64,
        now: Timestamp,
        limits: Limits,
    ) -> Option<Box<Application>> {
        if flow.key.protocol != TCP || self.waiting.is_empty() {
            return None;
        }
        while self
            .waiting
            .front()
            .is_some_and(|oldest| now.since(oldest.since) > PATIENCE)
        {
            self.waiting.pop_front();
        }
        let server = &flow.server.socket;
        let at = self.waiting.iter().position(|waiting| {
            (waiting.from, waiting.to) == (flow.client.socket.address, server.address)
                && (waiting.port, waiting.scope) == (server.port, scope)
        })?;
        let Expectation {
            command, file_name, ..
        } = self.waiting.remove(at)?.expectation;
        let parser = Box::new(FtpData::new(command, file_name));
        Some(Box::new(Application::announced(
            Transport::Tcp,
            limits,
            AppProtocol::FtpData,
            parser,
        )))
    }
}
