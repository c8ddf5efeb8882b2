//! Registrations: one per flow, each with its own reg-id, Call-ID and Route
//! (D-U1, D-U3 to D-U17; RFC 5626 §4.2).

use super::compose::bracketed;
use super::keepalive::Keepalive;
use super::registration::{Registration, RegistrationStage};
use super::request::{ClientRequest, Contact, Purpose, RequestFailure, uri_of};
use super::{Agent, emit, random_between};
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Net, Response, Step};
use crate::scan::Name;
use crate::scan::address::{self, Address};
use crate::send::{Event, Hop};
use crate::stick::Source;
use crate::time::{Duration, Instant};

impl Agent {
    /// D-U1: a REGISTER with no Route, to the domain. Told again, it refreshes
    /// every flow at once, and tries those that are lost.
    pub(super) fn start_registering(&mut self, step: &mut Step<'_>) {
        if self.registrations.is_empty() {
            self.add_registration(step.net, Vec::new());
            return self.register(step, 0);
        }
        for index in 0..self.registrations.len() {
            let Registration { reg_id, stage, .. } = self.registrations[index];
            let purpose = Purpose::Register(reg_id);
            // None is sent while one is under way (RFC 3261 §10.2).
            if stage == RegistrationStage::Settled
                && self
                    .requests
                    .iter()
                    .all(|outgoing| outgoing.purpose != purpose)
            {
                self.register(step, index);
            }
        }
    }

    /// Adds a registration that starts out with these routes; its index.
    fn add_registration(&mut self, net: &mut Net, routes: Vec<Vec<u8>>) -> usize {
        let last = self.registrations.last().map_or(0, |last| last.reg_id);
        let tag = format!(";tag={:016x}", net.secrets.chance());
        self.registrations.push(Registration {
            reg_id: last + 1,
            call_id: format!("{:016x}{:016x}", net.secrets.chance(), net.secrets.chance())
                .into_bytes(),
            from: [self.address(), tag.into_bytes()].concat(),
            cseq: 0,
            uri: format!("sip:{}", self.settings.domain).into_bytes(),
            routes,
            flow: None,
            proxy: None,
            until: None,
            service_route: Vec::new(),
            keepalive: Keepalive::Off,
            alarm: 0,
            due: Instant::ZERO,
            is_long_wait: false,
            failures: 0,
            address_index: 0,
            stage: RegistrationStage::New,
        });
        self.registrations.len() - 1
    }

    /// Sends a REGISTER: over its own flow with that flow's Route while it is
    /// bound (D-U17), else as at the start.
    pub(super) fn register(&mut self, step: &mut Step<'_>, index: usize) {
        let reg_id = self.registrations[index].reg_id;
        let expires_s = match self.registrations[index].stage {
            RegistrationStage::New | RegistrationStage::Settled => self.settings.expires_s,
            RegistrationStage::Removing | RegistrationStage::Removed => 0,
        };
        let mut outgoing = self.start_request(Purpose::Register(reg_id), "REGISTER");
        let registration = &mut self.registrations[index];
        registration.alarm = 0;
        outgoing.uri.clone_from(&registration.uri);
        outgoing.routes.clone_from(&registration.routes);
        // The token of its Service-Route is what makes it a refresh (D-E2).
        if registration.is_live()
            && reg_id == 1
            && let Some(first) = registration.service_route.first()
        {
            outgoing.routes = vec![first.clone()];
        }
        outgoing.from.clone_from(&registration.from);
        outgoing.to = self.address();
        let registration = &self.registrations[index];
        outgoing.call_id.clone_from(&registration.call_id);
        outgoing.cseq = registration.cseq + 1;
        outgoing.contact = Contact::Binding { reg_id, expires_s };
        let own = registration.flow.filter(|_| registration.is_live());
        let flow = own.map_or_else(
            || self.open(step.net, &outgoing, self.address_index(reg_id)),
            Ok,
        );
        match flow {
            Ok(flow) => self.send(step, outgoing, flow),
            Err(failure) => self.failed(step, outgoing, failure),
        }
    }

    /// Which address of a name with several the registration tries.
    pub(super) fn address_index(&self, reg_id: u32) -> usize {
        self.registration_index(reg_id)
            .map_or(0, |index| self.registrations[index].address_index)
    }

    fn registration_index(&self, reg_id: u32) -> Option<usize> {
        self.registrations.iter().position(|r| r.reg_id == reg_id)
    }

    /// A 423: the interval it asks for, if it is longer than ours.
    pub(super) fn lengthen(
        &mut self,
        outgoing: &mut ClientRequest,
        response: &Response<'_>,
    ) -> bool {
        let least = response.message.number(response.bytes, Name::MinExpires);
        let (Ok(Some(least)), Contact::Binding { reg_id, expires_s }) = (least, outgoing.contact)
        else {
            return false;
        };
        if expires_s == 0 || least <= expires_s || least > limits::EXPIRES_MAX_S {
            return false;
        }
        // For the other flows as well, which would each be refused once.
        self.settings.expires_s = least;
        outgoing.contact = Contact::Binding {
            reg_id,
            expires_s: least,
        };
        true
    }

    /// A 2xx to a REGISTER.
    pub(super) fn register_accepted(
        &mut self,
        step: &mut Step<'_>,
        reg_id: u32,
        outgoing: ClientRequest,
        response: &Response<'_>,
    ) {
        let Some((index, flow)) = self.registration_index(reg_id).zip(outgoing.flow) else {
            return;
        };
        let registration = &mut self.registrations[index];
        registration.cseq = outgoing.cseq;
        if registration.stage == RegistrationStage::Removing {
            return self.binding_removed(step.net, index);
        }
        let again = registration.is_live() && registration.flow == Some(flow);
        let expires_s = granted(&outgoing, &self.settings.instance, response);
        let until = step.now + Duration::from_secs(expires_s.into());
        let registration = &mut self.registrations[index];
        registration.until = Some(until);
        registration.flow = Some(flow);
        registration.proxy = step.net.flows.peer(flow);
        registration.failures = 0;
        registration.stage = RegistrationStage::Settled;
        if !again {
            // D-U6, D-U17: where a redirect led is where it registers anew.
            registration.routes.clone_from(&outgoing.routes);
            registration.uri.clone_from(&outgoing.uri);
        }
        let values = response.message.values(response.bytes, Name::ServiceRoute);
        registration.service_route = values
            .map(|value| value.of(response.bytes).to_vec())
            .collect();
        self.bind(step.now, index, &outgoing, flow, until);
        // Early enough for another two attempts.
        let refresh_s = random_between(
            step.net,
            u64::from(expires_s) * 8 / 10,
            u64::from(expires_s) * 9 / 10,
        );
        self.schedule_register(step, index, refresh_s.max(1));
        if !again {
            // Those of a refreshed flow go on as they are.
            self.start_keepalives(step, index, response);
        }
        if let Some(proxy) = self.registrations[index].proxy {
            let flows = self.registered();
            let news = if again {
                Event::Refreshed { reg_id, proxy }
            } else {
                Event::Registered {
                    reg_id,
                    proxy,
                    expires_s,
                    flows,
                }
            };
            emit(step.net, news);
        }
        self.add_proxies(step, response);
        if !self.ready && self.ready_timer == 0 {
            self.ready_timer = self.alarm(step.net, step.now + limits::AGENT_READY_MAX);
        }
        self.check_ready(step.net);
    }

    /// S-3, S-7: what the flow was opened for, and the topmost Service-Route.
    fn bind(
        &mut self,
        now: Instant,
        index: usize,
        outgoing: &ClientRequest,
        flow: Flow,
        until: Instant,
    ) {
        let opened = outgoing.first_hop();
        self.stick.opened(now, flow, opened);
        if let Some(first) = self.registrations[index].service_route.first() {
            self.stick
                .bind(now, flow, uri_of(first), Source::ServiceRoute, until);
        }
    }

    /// D-U9 to D-U12: a flow of its own to each proxy named, but for one that
    /// is in use already (D-U16).
    fn add_proxies(&mut self, step: &mut Step<'_>, response: &Response<'_>) {
        let bytes = response.bytes;
        let values = response.message.values(bytes, Name::OutboundProxy);
        let wanted: Vec<Vec<u8>> = values
            .filter_map(|value| address::outbound_proxy(bytes, value).ok())
            .map(|address| bracketed(address.uri.of(bytes)))
            .filter(|route| !self.leads_to_known(step.net, uri_of(route)))
            .collect();
        for route in wanted {
            if self
                .registrations
                .iter()
                .any(|r| r.routes.first() == Some(&route))
            {
                continue;
            }
            let idle = |r: &Registration| r.reg_id > 1 && !r.is_live() && r.alarm != 0;
            let index = match self.registrations.iter().position(idle) {
                // The set has changed: the flow that waits to be tried again
                // belongs to the old one.
                Some(index) => {
                    self.registrations[index].routes = vec![route];
                    index
                }
                None if self.registrations.len() >= limits::EDGE_SET_MAX => return,
                None => self.add_registration(step.net, vec![route]),
            };
            self.register(step, index);
        }
    }

    /// Whether a live flow leads to the host of this URI already.
    fn leads_to_known(&self, net: &mut Net, uri: &[u8]) -> bool {
        let Ok(Hop::To { addr, .. }) = self.hop(net, uri, 0) else {
            return false;
        };
        let live = self.registrations.iter().filter(|r| r.is_live());
        live.filter_map(|r| net.flows.peer(r.flow?))
            .any(|peer| peer == addr)
    }

    /// A REGISTER came to nothing.
    pub(super) fn not_registered(
        &mut self,
        step: &mut Step<'_>,
        reg_id: u32,
        outgoing: ClientRequest,
        failure: RequestFailure,
    ) {
        let Some(index) = self.registration_index(reg_id) else {
            return;
        };
        self.registrations[index].cseq = outgoing.cseq;
        if self.registrations[index].stage == RegistrationStage::Removing {
            return self.binding_removed(step.net, index);
        }
        // D-U6: where the redirect led stays the way of later attempts.
        if self.registrations[index].routes.is_empty() {
            self.registrations[index].routes = outgoing.routes;
        }
        let retry_after_s = failure.retry_after_s.filter(|_| failure.status == 503);
        if let Some(retry_after_s) = retry_after_s.filter(|_| self.registrations[index].is_live()) {
            // O-28: the binding and its flow are as good as before.
            return self.schedule_register(step, index, retry_after_s.into());
        }
        if self.registrations[index].alarm != 0 {
            // Its flow was lost, which has been counted and has its next attempt.
            return self.check_ready(step.net);
        }
        self.unbind(index);
        let address_index = self.registrations[index].address_index;
        self.registrations[index].address_index = address_index.wrapping_add(1);
        let retry_s = (!failure.is_final).then(|| {
            let retry_after_s = failure.retry_after_s.map(u64::from);
            retry_after_s.unwrap_or_else(|| self.retry_wait_s(step.net, index))
        });
        if let Some(retry_s) = retry_s {
            self.schedule_register(step, index, retry_s);
            let is_drawn = failure.retry_after_s.is_none();
            self.registrations[index].is_long_wait = is_drawn && self.registered() > 0;
        }
        self.hasten_retries(step);
        let RequestFailure { status, why, .. } = failure;
        emit(
            step.net,
            Event::NotRegistered {
                reg_id,
                status,
                why,
                retry_s,
            },
        );
        self.registrations[index].stage = RegistrationStage::Settled;
        self.check_ready(step.net);
    }

    fn check_ready(&mut self, net: &mut Net) {
        if self
            .registrations
            .iter()
            .all(|r| r.stage != RegistrationStage::New)
        {
            self.announce_ready(net);
        }
    }

    /// Says once that every registration has had its chance.
    pub(super) fn announce_ready(&mut self, net: &mut Net) {
        if !self.ready {
            self.ready = true;
            let (flows, of) = (self.registered(), self.registrations.len());
            emit(net, Event::Ready { flows, of });
        }
    }

    /// Removes every binding, each over its own flow.
    pub(super) fn unregister(&mut self, step: &mut Step<'_>) {
        for index in 0..self.registrations.len() {
            if self.registrations[index].is_live() {
                self.registrations[index].stage = RegistrationStage::Removing;
                self.register(step, index);
            } else {
                self.binding_removed(step.net, index);
            }
        }
    }

    fn binding_removed(&mut self, net: &mut Net, index: usize) {
        self.unbind(index);
        self.registrations[index].stage = RegistrationStage::Removed;
        if self
            .registrations
            .iter()
            .all(|r| r.stage == RegistrationStage::Removed)
        {
            self.registrations.clear();
            (self.ready, self.ready_timer) = (false, 0);
            emit(net, Event::Unregistered);
        }
    }
}

/// The seconds granted to our binding: of its own Contact, else of the answer.
fn granted(outgoing: &ClientRequest, instance: &str, response: &Response<'_>) -> u32 {
    let bytes = response.bytes;
    let Contact::Binding { reg_id, expires_s } = outgoing.contact else {
        return 0;
    };
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<u32>().ok();
    let ours = response
        .message
        .values(bytes, Name::Contact)
        .find_map(|value| {
            let contact = Address::parse(bytes, value).ok()?;
            let param = |name| {
                contact
                    .param(bytes, name)
                    .flatten()
                    .map(|span| span.of(bytes))
            };
            let is_ours = param("reg-id").and_then(number) == Some(reg_id)
                && param("+sip.instance").is_some_and(|urn| is_instance(urn, instance));
            is_ours.then(|| param("expires").and_then(number)).flatten()
        });
    let whole = response.message.number(bytes, Name::Expires);
    ours.or_else(|| whole.ok().flatten()).unwrap_or(expires_s)
}

/// O-22: the URN inside the angle brackets, in any case.
fn is_instance(shown: &[u8], instance: &str) -> bool {
    shown
        .strip_prefix(b"<")
        .and_then(|rest| rest.strip_suffix(b">"))
        .is_some_and(|urn| urn.eq_ignore_ascii_case(instance.as_bytes()))
}
