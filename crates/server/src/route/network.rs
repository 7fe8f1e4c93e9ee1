//! What a machine may reach, and the ports of the host that lead to it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Extension, Path, Query, State};
use machine_api::explain::{ExplainInfo, ExplainQuery};
use machine_api::network::{AddPorts, EgressInfo, MachineEgress, MachinePorts, PortInfo, SetEgress};
use machine_core::network::{Forward, NetworkMode, Transport};
use machine_core::promise::network::NetworkError;
use machine_core::{Machine, Progress, Refusal};
use machine_engine::NetworkChange;

use super::note_machine;
use crate::App;
use crate::door::Asker;
use crate::network_wish;
use crate::read::Json;
use crate::refused::{Refused, invalid};

/// `GET /v1/machines/{id}/egress`.
pub(crate) async fn egress(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
) -> Result<axum::Json<MachineEgress>, Refused> {
    let machine = app.server.desk.find(&asker.owner, &reference).await?;
    note_machine(&machine);
    match machine.spec.network.mode {
        NetworkMode::User => Ok(axum::Json(rules_of(&machine))),
        NetworkMode::None => Err(Refusal::from(NetworkError::NoNetwork).about(machine.called()).into()),
    }
}

/// `PATCH /v1/machines/{id}/egress`: answers the rules that hold now.
pub(crate) async fn set_egress(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<SetEgress>,
) -> Result<axum::Json<MachineEgress>, Refused> {
    let change = NetworkChange::Egress(network_wish::egress(wish.egress)?);
    Ok(axum::Json(rules_of(&set(&app, &asker, &reference, change).await?)))
}

/// `GET /v1/machines/{id}/egress/explain`.
pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Query(query): Query<ExplainQuery>,
) -> Result<axum::Json<ExplainInfo>, Refused> {
    let question = query.question().map_err(invalid)?;
    let (machine, explained) = app.server.desk.explain(&asker.owner, &reference, &question).await?;
    note_machine(&machine);
    Ok(axum::Json(ExplainInfo::of(&machine, &question, explained)))
}

/// `GET /v1/machines/{id}/ports`.
pub(crate) async fn ports(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
) -> Result<axum::Json<MachinePorts>, Refused> {
    let machine = app.server.desk.find(&asker.owner, &reference).await?;
    note_machine(&machine);
    Ok(axum::Json(ports_of(&machine, &[])))
}

/// `POST /v1/machines/{id}/ports`: all of them are added, or none.
pub(crate) async fn add_ports(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path(reference): Path<String>,
    Json(wish): Json<AddPorts>,
) -> Result<axum::Json<MachinePorts>, Refused> {
    let asked = network_wish::forwards(&wish.forwards)?;
    let machine = set(&app, &asker, &reference, NetworkChange::AddForwards(asked.clone())).await?;
    Ok(axum::Json(ports_of(&machine, &asked)))
}

/// `DELETE /v1/machines/{id}/ports/{transport}/{listen}`.
pub(crate) async fn remove_port(
    State(app): State<Arc<App>>,
    Extension(asker): Extension<Asker>,
    Path((reference, transport, listen)): Path<(String, String, String)>,
) -> Result<axum::Json<MachinePorts>, Refused> {
    let transport = match transport.as_str() {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return Err(invalid(format!("transport: neither tcp nor udp: {transport}")).into()),
    };
    let place = network_wish::listen(&listen);
    let place = place.ok_or_else(|| invalid(format!("listen: not ADDRESS:PORT or PORT: '{listen}'")))?;
    let change = NetworkChange::RemoveForwards(vec![(transport, place)]);
    Ok(axum::Json(ports_of(&set(&app, &asker, &reference, change).await?, &[])))
}

/// Goes on although its client goes away: half a change would be worse than one that nobody heard of.
async fn set(app: &Arc<App>, asker: &Asker, reference: &str, change: NetworkChange) -> Result<Machine, Refusal> {
    let (desk, asked) = (app.server.desk.clone(), asker.asked(None, Progress::silent()));
    let reference = reference.to_owned();
    let set = app.tasks.spawn(async move { desk.set_network(&asked, &reference, change).await });
    let machine = set.await.map_err(|_| Refusal::new(machine_core::Code::InternalError, "the change broke"))??;
    note_machine(&machine);
    Ok(machine)
}

fn rules_of(machine: &Machine) -> MachineEgress {
    MachineEgress { machine_id: machine.id.to_string(), egress: EgressInfo::of(&machine.spec.network.egress) }
}

fn ports_of(machine: &Machine, asked: &[Forward]) -> MachinePorts {
    let forwards = &machine.spec.network.forwards;
    MachinePorts {
        machine_id: machine.id.to_string(),
        ports: forwards.iter().copied().map(PortInfo::from).collect(),
        added: added(forwards, asked).into_iter().map(PortInfo::from).collect(),
    }
}

/// What was asked for, as it is now: the newest that fits, since chosen ports came last.
fn added(forwards: &[Forward], asked: &[Forward]) -> Vec<Forward> {
    let mut rest = forwards.to_vec();
    let mut found = Vec::new();
    for wish in asked.iter().rev() {
        let fits = |is: &Forward| {
            let port = if wish.listen.port() == 0 { 0 } else { is.listen.port() };
            Forward { listen: SocketAddr::new(is.listen.ip(), port), ..*is } == *wish
        };
        if let Some(place) = rest.iter().rposition(fits) {
            found.push(rest.remove(place));
        }
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(has: &[&str], asked: &[&str], told: &[&str]) {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Forward>>();
        assert_eq!(added(&read(has), &read(asked)), read(told), "{asked:?}");
    }

    #[test]
    fn what_was_added_is_told_with_the_ports_that_were_chosen() {
        check(&["80", "4000:80", "4001:80", "81"], &["0:80", "81"], &["4001:80", "81"]);
        check(&["3999:80", "4000:80", "4001:80"], &["0:80", "0:80"], &["4000:80", "4001:80"]);
        check(&["80"], &["80"], &["80"]);
        check(&["80"], &[], &[]);
        check(&["0:80"], &["0:80"], &["0:80"]);
    }
}
