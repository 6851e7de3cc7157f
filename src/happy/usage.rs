//! What sessions used: reports over the socket, sums over HTTP.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{RoundMode, Timestamp, Unit, ZonedRound};
use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use super::answer::{Answer, ok, refusal, store_error};
use super::db::usage::{self, Window};
use super::sockets::is_nothing;
use super::{Happy, Recipients, call, id};
use crate::limits;
use crate::server::{HttpError, Method, Request, Router, StatusCode};
use crate::store::StoreError;

pub fn routes(router: &mut Router, happy: &Happy) {
    happy.route(router, Method::POST, "/v1/usage/query", query);
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    session_id: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    group_by: Option<Group>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Group {
    Hour,
    Day,
}

async fn query(happy: Happy, mut request: Request) -> Answer {
    let asked: Query = call::body(&mut request).await?;
    for time in [asked.start_time, asked.end_time].into_iter().flatten() {
        if time <= 0 {
            return Err(HttpError::invalid("Times are whole seconds above 0."));
        }
    }
    let account = happy.account(&request.head)?;
    let window = Window {
        session: asked.session_id.filter(|id| !id.is_empty()),
        from: milliseconds(asked.start_time).unwrap_or(0),
        to: milliseconds(asked.end_time).unwrap_or(i64::MAX),
    };
    let group = asked.group_by.unwrap_or(Group::Day);
    let sums = happy
        .0
        .store
        .query(move |db| -> Result<_, StoreError> {
            if let Some(session) = &window.session
                && !usage::is_own_session(db, &account, session)?
            {
                return Ok(None);
            }
            let mut sums = Sums::new(group, TimeZone::system());
            usage::within(db, &account, &window, |made, data| sums.add(made, data))?;
            Ok(Some(sums))
        })
        .await
        .map_err(store_error)?
        .ok_or_else(|| refusal(StatusCode::NOT_FOUND, "Session not found"))?;
    ok(json!({
        "totalReports": sums.reports,
        "usage": sums.told(),
        "groupBy": group.word(),
    }))
}

fn milliseconds(seconds: Option<i64>) -> Option<i64> {
    seconds.map(|seconds| seconds.saturating_mul(1_000))
}

impl Group {
    const fn word(self) -> &'static str {
        match self {
            Group::Hour => "hour",
            Group::Day => "day",
        }
    }

    /// When the hour or the day of `time` began here, in seconds.
    fn start(self, time: i64, zone: &TimeZone) -> i64 {
        let unit = match self {
            Group::Hour => Unit::Hour,
            Group::Day => Unit::Day,
        };
        let round = ZonedRound::new().smallest(unit).mode(RoundMode::Trunc);
        Timestamp::from_millisecond(time)
            .and_then(|time| time.to_zoned(zone.clone()).round(round))
            .map_or(0, |start| start.timestamp().as_second())
    }
}

#[derive(Default)]
struct Sum {
    tokens: BTreeMap<String, f64>,
    cost: BTreeMap<String, f64>,
    reports: usize,
}

#[derive(Deserialize)]
struct Data {
    tokens: Map<String, Value>,
    cost: Map<String, Value>,
}

/// Whatever is a number is added up, hour by hour or day by day.
struct Sums {
    group: Group,
    zone: TimeZone,
    /// Damaged ones too.
    reports: usize,
    sums: BTreeMap<i64, Sum>,
}

impl Sums {
    fn new(group: Group, zone: TimeZone) -> Sums {
        Sums {
            group,
            zone,
            reports: 0,
            sums: BTreeMap::new(),
        }
    }

    fn add(&mut self, made: i64, data: &str) {
        self.reports += 1;
        let Ok(data) = serde_json::from_str::<Data>(data) else {
            return;
        };
        let start = self.group.start(made, &self.zone);
        let sum = self.sums.entry(start).or_default();
        sum.reports += 1;
        for (total, part) in [(&mut sum.tokens, data.tokens), (&mut sum.cost, data.cost)] {
            for (name, value) in part {
                let has_place =
                    total.len() < limits::HAPPY_USAGE_NAMES_MAX || total.contains_key(&name);
                if let Some(number) = value.as_f64().filter(|_| has_place) {
                    *total.entry(name).or_default() += number;
                }
            }
        }
    }

    /// The oldest first.
    fn told(self) -> Vec<Value> {
        let told = |(start, sum): (i64, Sum)| {
            json!({
                "timestamp": start,
                "tokens": numbers(sum.tokens),
                "cost": numbers(sum.cost),
                "reportCount": sum.reports,
            })
        };
        self.sums.into_iter().map(told).collect()
    }
}

/// Whole numbers without a point, as other writers of JSON have them.
fn numbers(sums: BTreeMap<String, f64>) -> Map<String, Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = |sum: f64| match sum {
        whole if whole.fract() == 0.0 && whole.abs() < EXACT => json!(whole as i64),
        other => Number::from_f64(other).map_or(Value::Null, Value::Number),
    };
    sums.into_iter()
        .map(|(name, sum)| (name, number(sum)))
        .collect()
}

/// A report that came over a socket, checked.
struct Report {
    key: String,
    session: String,
    tokens: Value,
    cost: Value,
}

impl Happy {
    /// Stores a report of the event `usage-report` and tells the account's apps of it; the answer
    /// is what the sender is told.
    pub(super) async fn report_usage(&self, account: &str, event: Value) -> Value {
        match self.stored_report(account, event).await {
            Ok(answer) => answer,
            Err(text) => json!({"success": false, "error": text}),
        }
    }

    async fn stored_report(&self, account: &str, event: Value) -> Result<Value, &'static str> {
        let report = Report::of(event)?;
        let now = self.0.clock.wall();
        let id = id::new(now).ok_or(FAILED)?;
        let data = json!({"tokens": report.tokens, "cost": report.cost}).to_string();
        let bytes = data.len() + report.key.len();
        if bytes > limits::HAPPY_USAGE_REPORT_BYTES_MAX {
            return Err(FAILED);
        }
        let owner = account.to_owned();
        let (session, key) = (report.session.clone(), report.key.clone());
        let stored = self
            .write_event(bytes, move |db| {
                if !usage::is_own_session(db, &owner, &session)? {
                    return Ok(None);
                }
                let place = (session.as_str(), key.as_str());
                Ok(Some(usage::store(db, &id, &owner, place, &data, now)?))
            })
            .await
            .map_err(|_| FAILED)?
            .ok_or("Session not found")?;
        let told = json!({
            "type": "usage",
            "id": report.session,
            "key": report.key,
            "tokens": report.tokens,
            "cost": report.cost,
            "timestamp": now.0,
        });
        self.ephemeral(account, told, Recipients::UserScoped);
        Ok(json!({
            "success": true,
            "reportId": stored.id,
            "createdAt": stored.created_at,
            "updatedAt": stored.updated_at,
        }))
    }
}

const FAILED: &str = "Failed to save usage report";

impl Report {
    /// The checks in the order of the original, each with its words.
    fn of(mut event: Value) -> Result<Report, &'static str> {
        if event.is_null() {
            return Err("Internal error");
        }
        let key = event["key"].as_str().filter(|key| !key.is_empty());
        let key = key.ok_or("Invalid key")?.to_owned();
        let has_total = |part: &Value| part["total"].is_number();
        if !has_total(&event["tokens"]) {
            return Err("Invalid tokens object - must include total");
        }
        if !has_total(&event["cost"]) {
            return Err("Invalid cost object - must include total");
        }
        let session = match &event["sessionId"] {
            // The original fails at storing what belongs to no session.
            nothing if is_nothing(nothing) => return Err(FAILED),
            Value::String(id) => id.clone(),
            _ => return Err("Invalid sessionId"),
        };
        Ok(Report {
            key,
            session,
            tokens: event["tokens"].take(),
            cost: event["cost"].take(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tokens: Value) -> String {
        json!({"tokens": tokens, "cost": {"total": 0.25}}).to_string()
    }

    #[test]
    fn reports_of_one_hour_are_added_up_where_they_are_numbers() {
        let zone = TimeZone::get("Asia/Kolkata").expect("a zone");
        // Half past in UTC is the full hour there.
        let start = 1_795_206_600_000;
        let reports = [
            (start - 1, report(json!({"total": 1}))),
            (start, report(json!({"total": 2, "words": "none"}))),
            (start + 3_599_999, report(json!({"total": 0.5, "input": 3}))),
            (start + 1, String::from("damaged")),
        ];
        let mut sums = Sums::new(Group::Hour, zone);
        for (made, data) in &reports {
            sums.add(*made, data);
        }
        assert_eq!(sums.reports, 4);
        let told = sums.told();
        let cost = json!({"total": 0.25});
        let first = json!({"timestamp": start / 1_000 - 3_600, "tokens": {"total": 1},
            "cost": cost, "reportCount": 1});
        let second = json!({"timestamp": start / 1_000, "tokens": {"total": 2.5, "input": 3},
            "cost": {"total": 0.5}, "reportCount": 2});
        assert_eq!(told, [first, second]);
    }

    #[test]
    fn a_day_begins_at_the_midnight_of_the_box() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let day = |time: &str| {
            let time: Timestamp = time.parse().expect("a time");
            Group::Day.start(time.as_millisecond(), &zone)
        };
        let midnight: Timestamp = "2026-10-24T22:00:00Z".parse().expect("a time");
        for time in [
            "2026-10-24T22:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T22:59:59Z",
        ] {
            assert_eq!(day(time), midnight.as_second(), "{time}");
        }
        assert_eq!(
            day("2026-10-25T23:00:00Z"),
            midnight.as_second() + 25 * 3_600
        );
    }
}
