//! Orders to a NUT server: `SET VAR` and `INSTCMD`, followed until the driver says what became of
//! them (`TRACKING`, upsd 2.8 and later).
//!
//! Each goes over a connection of its own, which is closed afterwards, and is given once: an order
//! whose answer was lost is "nobody knows".

use super::connection::{Connection, Target};
use super::{Failure, quoted};
use room::site::link::NutLink;
use std::time::Duration;

/// Looks at an order that the driver has not answered yet.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest wait for the driver. upsd itself forgets an order after an hour.
const DRIVER_MAX: Duration = Duration::from_secs(15);

/// What became of orders that were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The driver says that it did them.
    Done,
    /// The server took them; an old one does not tell more.
    Taken,
}

/// Why orders were not carried out, or what is not known of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotTold {
    /// Nothing was done.
    #[error("{0}")]
    Refused(String),
    /// It may have been done.
    #[error("{0}")]
    Unknown(String),
}

/// Sets these variables, then gives the command; `sent` is called before the first order leaves.
///
/// # Errors
/// [`NotTold`].
pub async fn tell(
    link: &NutLink,
    variables: &[(&str, String)],
    command: &str,
    timeout: Duration,
    sent: impl FnOnce(),
) -> Result<Told, NotTold> {
    let target = Target {
        addr: link.addr,
        login: link.login.clone(),
        tls: link.tls,
        ca_file: link.ca_file.clone(),
    };
    let refused = |failure: Failure| NotTold::Refused(describe(link, &failure));
    let silent = || NotTold::Refused(format!("upsd at {} does not answer", link.addr));
    let opened = tokio::time::timeout(timeout, async {
        let mut connection = Connection::open(&target).await?;
        let tracks = connection.track().await?;
        Ok((connection, tracks))
    });
    let (mut connection, tracks) = opened.await.map_err(|_| silent())?.map_err(refused)?;

    let bad = || NotTold::Refused("the name of the UPS or of the command is none of NUT".to_owned());
    let ups = quoted(&link.ups).ok_or_else(bad)?;
    let mut orders = Vec::new();
    for (name, value) in variables {
        orders.push(format!(
            "SET VAR {ups} {name} \"{}\"",
            quoted(value).ok_or_else(bad)?
        ));
    }
    orders.push(format!("INSTCMD {ups} {}", quoted(command).ok_or_else(bad)?));
    sent();
    let mut told = Told::Done;
    for order in orders {
        let follow = follow(&mut connection, &order, tracks);
        match tokio::time::timeout(timeout + DRIVER_MAX, follow).await {
            Ok(Ok(done)) => {
                if !done {
                    told = Told::Taken;
                }
            }
            Ok(Err(failure @ Failure::Refused(_))) => return Err(refused(failure)),
            Ok(Err(failure)) => return Err(NotTold::Unknown(describe(link, &failure))),
            Err(_) => {
                let problem = format!("upsd at {} does not say what became of {order}", link.addr);
                return Err(NotTold::Unknown(problem));
            }
        }
    }
    Ok(told)
}

/// True when the driver says that it is done, false when nobody can say.
async fn follow(connection: &mut Connection, order: &str, tracks: bool) -> Result<bool, Failure> {
    let Some(id) = connection.order(order).await?.filter(|_| tracks) else {
        return Ok(false);
    };
    while !connection.is_done(&id).await? {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(true)
}

fn describe(link: &NutLink, failure: &Failure) -> String {
    let hint = match failure {
        Failure::Refused(super::ErrorToken::AccessDenied) => {
            "; its user needs `instcmds = ...` and `actions = SET` in upsd.users"
        }
        _ => "",
    };
    format!("upsd at {}: {failure}{hint}", link.addr)
}
