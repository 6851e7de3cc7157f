//! What sockets tell of machines: metadata, the daemon's state, heartbeats.

use serde_json::{Value, json};

use super::{Client, answer, name};
use crate::happy::db::versioned::{self, Field, Swap};
use crate::happy::presence::{Kind, heard_at};
use crate::happy::updates::Recipients;
use crate::socketio::{Ack, Socket};

impl Client {
    pub(super) fn machine_alive(&self, event: &Value) {
        let (happy, account) = (&self.happy, &self.account);
        let Some(at) = heard_at(&event["time"], happy.0.clock.wall()) else {
            return;
        };
        let Some(machine) = name(event, "machineId") else {
            return;
        };
        if happy.alive(Kind::Machine, account, machine, at) {
            happy.machine_activity(account, machine, true, at);
        }
    }

    pub(super) fn machine_metadata(&self, socket: &Socket, event: Value, ack: Option<Ack>) {
        self.swap_machine(socket, Field::MachineMetadata, event, ack);
    }

    pub(super) fn machine_state(&self, socket: &Socket, event: Value, ack: Option<Ack>) {
        self.swap_machine(socket, Field::MachineState, event, ack);
    }

    fn swap_machine(&self, socket: &Socket, field: Field, event: Value, ack: Option<Ack>) {
        let machine = name(&event, "machineId");
        let value = event[field.name()].as_str();
        let expected = versioned::expected(&event["expectedVersion"]);
        let (Some(machine), Some(value), Some(expected)) = (machine, value, expected) else {
            return answer(ack, error("Invalid parameters"));
        };
        let (machine, value) = (machine.to_owned(), value.to_owned());
        let (happy, account) = (self.happy.clone(), self.account.clone());
        self.in_order(socket, async move {
            let swapped = happy
                .swap(field, &account, &machine, Some(&value), expected)
                .await;
            let told = match swapped {
                Ok((turn, Swap::Done { version, seq })) => {
                    let mut body = json!({"t": "update-machine", "machineId": machine});
                    body[field.name()] = json!({"value": value, "version": version});
                    turn.publish(&account, seq, body, Recipients::Machine(machine));
                    let mut told = json!({"result": "success", "version": version});
                    told[field.name()] = json!(value);
                    told
                }
                Ok((_, Swap::Stale { version, value })) => {
                    let mut told = json!({"result": "version-mismatch", "version": version});
                    told[field.name()] = json!(value);
                    told
                }
                Ok((_, Swap::Missing)) => error("Machine not found"),
                Err(_) => error("Internal error"),
            };
            answer(ack, told);
        });
    }
}

fn error(message: &str) -> Value {
    json!({"result": "error", "message": message})
}
