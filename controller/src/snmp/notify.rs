//! Traps and informs that we send (RFC 3416 4.2.6 and 4.2.7): v2c, and v3 with the User-based
//! Security Model.
//!
//! Who is authoritative differs (RFC 3414 1.5.1): of a trap it is the sender, so a v3 trap carries
//! our own engine's id, boots and time and is sealed with keys localized to it; of an inform it is
//! the receiver, which is discovered and asked like any agent. Our boots grow with every start and
//! are on disk before the first message, so that no receiver finds an old one newer.
//!
//! ```text
//! Notification --trap-->   sealed by our engine   --> sent once; nobody knows whether it arrived
//!              --inform--> exchange (see `client`) --> the receiver's Response, or an error
//! ```

use super::answer;
use super::client::Client;
use super::packet::{ID_MIN, Packet, Question};
use super::trap::OwnEngine;
use super::usm::Keys;
use super::usm::message::{Outgoing, seal};
use super::{Access, Error, Oid, Target, Value};
use crate::clock;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

/// sysUpTime.0, RFC 3418.
const UP_TIME: &str = "1.3.6.1.2.1.1.3.0";
/// snmpTrapOID.0, RFC 3418.
const TRAP_OID: &str = "1.3.6.1.6.3.1.1.4.1.0";

/// What happened, as the variables of a trap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Hundredths of a second since we began.
    pub up_time: u32,
    /// Which NOTIFICATION-TYPE of a MIB it is.
    pub id: Oid,
    /// Its objects, in the order of the MIB.
    pub objects: Vec<(Oid, Value)>,
}

impl Notification {
    /// The first two variables are the same in every notification, RFC 3416 4.2.6.
    fn packet(&self, access: &Access, question: Question) -> Packet {
        let constant = |text: &str| text.parse::<Oid>().expect("a constant in dotted form");
        let (up_time, trap_oid) = (constant(UP_TIME), constant(TRAP_OID));
        let (ticks, id) = (Value::Ticks(self.up_time), Value::Oid(self.id.clone()));
        let mut bindings = vec![(&up_time, &ticks), (&trap_oid, &id)];
        bindings.extend(self.objects.iter().map(|(oid, value)| (oid, value)));
        Packet::with_values(access, question, &bindings)
    }
}

impl Client {
    /// Sends a trap once. That it left says nothing about its arrival.
    ///
    /// # Errors
    /// When it could not leave.
    pub async fn trap(
        &self,
        addr: SocketAddr,
        access: &Access,
        own: &OwnEngine,
        notification: &Notification,
    ) -> Result<(), Error> {
        let packet = notification.packet(access, Question::Trap);
        let id: i32 = rand::random_range(ID_MIN..=i32::MAX);
        let mut bytes = Vec::new();
        match access {
            Access::V1(_) => return Err(Error::Version { addr }),
            Access::V2c(_) => packet.write(id, &mut bytes),
            Access::V3(user) => {
                let usm = &user.usm;
                let keys = Keys::derive(self.keys(), usm, own.id()).await;
                let keys = keys.ok_or_else(|| Error::Own {
                    addr,
                    why: "its keys cannot be derived".to_owned(),
                })?;
                let (boots, time) = own.clock(clock::now().mono);
                let envelope = Outgoing {
                    id,
                    reportable: false,
                    engine: own.id(),
                    boots,
                    time,
                    user: &usm.user,
                    context_engine: own.id(),
                    context: &usm.context,
                    salt: self.salts().fetch_add(1, Ordering::Relaxed),
                };
                let (front, back) = packet.pieces();
                seal(
                    &mut bytes,
                    &envelope,
                    Some(&keys),
                    &[front, &id.to_be_bytes(), back],
                );
            }
        }
        self.send(addr, &bytes).await
    }

    /// Sends an inform until it is answered. One whose answer was lost may be heard twice.
    ///
    /// # Errors
    /// When nobody acknowledged it.
    pub async fn inform(&self, target: &Target, notification: &Notification) -> Result<(), Error> {
        if matches!(target.access, Access::V1(_)) {
            return Err(Error::Version { addr: target.addr });
        }
        let packet = notification.packet(&target.access, Question::Inform);
        // Some receivers answer without the variables; what counts is the id and the status.
        match self
            .exchange(target, &packet, |body, _| answer::read_acknowledgement(body))
            .await?
        {
            0 => Ok(()),
            status => Err(Error::Status {
                addr: target.addr,
                status,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::Secret;
    use snmp2::{MessageType, Pdu};

    fn notification() -> Notification {
        Notification {
            up_time: 4711,
            id: "1.3.6.1.4.1.32473.1.0.1".parse().unwrap(),
            objects: vec![(
                "1.3.6.1.4.1.32473.1.1.1.0".parse().unwrap(),
                Value::Bytes("漏水".as_bytes().to_vec()),
            )],
        }
    }

    #[test]
    fn another_decoder_reads_a_trap_and_an_inform() {
        for (question, kind) in [
            (Question::Trap, MessageType::Trap),
            (Question::Inform, MessageType::InformRequest),
        ] {
            let packet = notification().packet(&Access::V2c(Secret("c".to_owned())), question);
            let mut bytes = Vec::new();
            packet.write(ID_MIN, &mut bytes);
            let pdu = Pdu::from_bytes(&bytes).unwrap();
            assert_eq!(pdu.message_type, kind);
            let variables: Vec<String> = pdu
                .varbinds
                .map(|(name, value)| format!("{name} {value:?}"))
                .collect();
            assert_eq!(
                variables,
                [
                    "1.3.6.1.2.1.1.3.0 TIMETICKS: 4711",
                    "1.3.6.1.6.3.1.1.4.1.0 OBJECT IDENTIFIER: 1.3.6.1.4.1.32473.1.0.1",
                    "1.3.6.1.4.1.32473.1.1.1.0 OCTET STRING: 漏水",
                ]
            );
        }
    }

    #[tokio::test]
    async fn a_trap_goes_to_who_is_named_and_one_of_version_1_is_refused() {
        let receiver = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = receiver.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let client = Client::bind().await.unwrap();
        let own = client.own_engine(folder.path()).unwrap();
        let again = client.own_engine(folder.path()).unwrap();
        assert_eq!(own.clock(clock::now().mono).0, 1);
        assert_eq!(own.id(), again.id(), "one client is one engine");
        assert_eq!(again.clock(clock::now().mono).0, 1);
        let access = Access::V2c(Secret("c".to_owned()));
        client.trap(addr, &access, &own, &notification()).await.unwrap();
        let mut buffer = [0; 1500];
        let (length, _) = receiver.recv_from(&mut buffer).await.unwrap();
        assert_eq!(
            Pdu::from_bytes(&buffer[..length]).unwrap().message_type,
            MessageType::Trap
        );
        let old = Access::V1(Secret("c".to_owned()));
        let refused = client.trap(addr, &old, &own, &notification()).await;
        assert!(matches!(refused, Err(Error::Version { .. })), "{refused:?}");
    }
}
