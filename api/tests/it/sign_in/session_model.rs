//! The sessions of a user against a model: whatever happens in whatever order, the same ones are live.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use reqwest::Method;
use serde_json::json;
use testkit::{Answer, Api, Client};
use tokio::runtime::Runtime;

use crate::support::{
    CHANGE_PASSWORD, CURRENT_USER, LOGIN, LOGOUT, Member, SESSIONS, Tokens, World, bcrypt_hash, refresh,
};

/// As many as end within twenty seconds beside other tests.
const CASES: u32 = 40;
const STEPS: std::ops::Range<usize> = 4..24;

/// What a client does. Sessions are named by numbers that are taken modulo how many there have been; ended ones are
/// among them.
#[derive(Clone, Debug)]
enum Step {
    SignIn {
        password_is_right: bool,
    },
    /// With the present token (0), the one before (1) or an older one; at a process that forgives asking twice or one
    /// that does not.
    Refresh {
        session: usize,
        age: usize,
        forgiving: bool,
    },
    SignOut {
        session: usize,
    },
    SignOutByCookie {
        session: usize,
        age: usize,
    },
    End {
        by: usize,
        session: usize,
    },
    ChangePassword {
        by: usize,
        password_is_right: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let session = 0..8_usize;
    prop_oneof![
        3 => prop::bool::weighted(0.8).prop_map(|password_is_right| Step::SignIn { password_is_right }),
        8 => (session.clone(), prop_oneof![6 => Just(0_usize), 3 => Just(1), 1 => Just(2)], any::<bool>())
            .prop_map(|(session, age, forgiving)| Step::Refresh { session, age, forgiving }),
        1 => session.clone().prop_map(|session| Step::SignOut { session }),
        1 => (session.clone(), 0..3_usize).prop_map(|(session, age)| Step::SignOutByCookie { session, age }),
        2 => (session.clone(), session.clone()).prop_map(|(by, session)| Step::End { by, session }),
        1 => (session, prop::bool::weighted(0.7))
            .prop_map(|(by, password_is_right)| Step::ChangePassword { by, password_is_right }),
    ]
}

/// A session as it should be.
struct Session {
    id: String,
    is_live: bool,
    /// Every refresh token it had; the last one is the present one.
    refresh: Vec<String>,
    access: Vec<String>,
}

struct Play<'a> {
    forgiving: &'a Client,
    strict: &'a Client,
    member: Member,
    password: String,
    sessions: Vec<Session>,
}

impl Play<'_> {
    async fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::SignIn { password_is_right } => self.sign_in(password_is_right).await,
            _ if self.sessions.is_empty() => Ok(()),
            Step::Refresh { session, age, forgiving } => self.refresh(session, age, forgiving).await,
            Step::SignOut { session } => {
                let session = session % self.sessions.len();
                let answer = self.client(session).post(LOGOUT, &json!({})).await;
                self.ended(session, session, &answer)
            }
            Step::SignOutByCookie { session, age } => {
                let session = session % self.sessions.len();
                let token =
                    self.sessions[session].refresh.iter().rev().nth(age).unwrap_or(&self.sessions[session].refresh[0]);
                let request = self.forgiving.request(Method::POST, LOGOUT);
                let answer = self.forgiving.send(request.header("cookie", format!("refreshToken={token}"))).await;
                self.ended(session, session, &answer)
            }
            Step::End { by, session } => {
                let (by, session) = (by % self.sessions.len(), session % self.sessions.len());
                let client = self.client(by);
                let path = format!("{SESSIONS}/{}", self.sessions[session].id);
                let answer = client.send(client.request(Method::DELETE, &path)).await;
                self.ended(by, session, &answer)
            }
            Step::ChangePassword { by, password_is_right } => self.change_password(by, password_is_right).await,
        }
    }

    async fn sign_in(&mut self, password_is_right: bool) -> Result<(), TestCaseError> {
        let password = if password_is_right { self.password.as_str() } else { "not the password" };
        let answer = self.forgiving.post(LOGIN, &json!({"username": self.member.name, "password": password})).await;
        prop_assert_eq!(answer.status.as_u16(), if password_is_right { 200 } else { 401 }, "{}", answer.body);
        if !password_is_right {
            return Ok(());
        }
        let tokens = Tokens::of(&answer);
        // The session that the list calls the present one.
        let list = self.forgiving.with_token(&tokens.access).get(SESSIONS).await;
        let list = list.data().as_array().cloned().unwrap_or_default();
        let id = list.iter().find(|session| session["current"] == true).map(|session| session["_id"].to_string());
        let id = id.unwrap_or_default().replace('"', "");
        self.sessions.push(Session { id, is_live: true, refresh: vec![tokens.refresh], access: vec![tokens.access] });
        Ok(())
    }

    async fn refresh(&mut self, session: usize, age: usize, forgiving: bool) -> Result<(), TestCaseError> {
        let number = session % self.sessions.len();
        let session = &mut self.sessions[number];
        let age = age.min(session.refresh.len() - 1);
        let present = session.refresh.len() - 1;
        let answer =
            refresh(if forgiving { self.forgiving } else { self.strict }, &session.refresh[present - age]).await;
        let taken = session.is_live && (age == 0 || (age == 1 && forgiving));
        prop_assert_eq!(answer.status.as_u16(), if taken { 200 } else { 401 }, "{}", answer.body);
        if !taken {
            // If it was live, the token was used a second time.
            session.is_live = false;
            return Ok(());
        }
        let tokens = Tokens::of(&answer);
        if age == 0 {
            prop_assert!(!session.refresh.contains(&tokens.refresh), "the successor is an old one");
            session.refresh.push(tokens.refresh);
        } else {
            prop_assert_eq!(&tokens.refresh, &session.refresh[present], "another successor");
        }
        session.access.push(tokens.access);
        Ok(())
    }

    async fn change_password(&mut self, by: usize, password_is_right: bool) -> Result<(), TestCaseError> {
        let by = by % self.sessions.len();
        let old = if password_is_right { self.password.clone() } else { "not the password".to_owned() };
        let new = format!("{}+", self.password);
        let answer = self.client(by).post(CHANGE_PASSWORD, &json!({"oldPassword": old, "newPassword": new})).await;
        let expected = match (self.sessions[by].is_live, password_is_right) {
            (false, _) => 401,
            (true, false) => 422,
            (true, true) => 200,
        };
        prop_assert_eq!(answer.status.as_u16(), expected, "{}", answer.body);
        if expected == 200 {
            self.password = new;
            for (number, session) in self.sessions.iter_mut().enumerate() {
                session.is_live &= number == by;
            }
        }
        Ok(())
    }

    /// What somebody who is signed in by one session gets when they end another one.
    fn ended(&mut self, by: usize, session: usize, answer: &Answer) -> Result<(), TestCaseError> {
        let expected = match (self.sessions[by].is_live, self.sessions[session].is_live) {
            (false, _) => 401,
            (true, false) => 404,
            (true, true) => 200,
        };
        prop_assert_eq!(answer.status.as_u16(), expected, "{}", answer.body);
        if expected == 200 {
            self.sessions[session].is_live = false;
        }
        Ok(())
    }

    fn client(&self, session: usize) -> Client {
        self.forgiving.with_token(self.sessions[session].access.last().expect("one at least"))
    }

    /// Every access token there ever was lets in exactly if its session is live, and the list has exactly the live
    /// ones.
    async fn check(&self) -> Result<(), TestCaseError> {
        for session in &self.sessions {
            for access in [session.access.first(), session.access.last()].into_iter().flatten() {
                let status = self.strict.with_token(access).get(CURRENT_USER).await.status.as_u16();
                prop_assert_eq!(status, if session.is_live { 200 } else { 401 });
            }
        }
        let Some(one) = self.sessions.iter().position(|session| session.is_live) else { return Ok(()) };
        let answer = self.client(one).get(SESSIONS).await;
        let mut listed: Vec<String> = answer
            .data()
            .as_array()
            .into_iter()
            .flatten()
            .map(|session| session["_id"].as_str().unwrap_or_default().to_owned())
            .collect();
        let live = self.sessions.iter().filter(|session| session.is_live);
        let mut live: Vec<String> = live.map(|session| session.id.clone()).collect();
        listed.sort();
        live.sort();
        // The first one was begun without a sign-in, and ends with the first change of the password.
        listed.retain(|id| *id != self.member.session.to_string());
        prop_assert_eq!(listed, live);
        Ok(())
    }
}

async fn play(world: &World, strict: &Api, steps: &[Step]) -> Result<(), TestCaseError> {
    let member = world.member_with_hash(&bcrypt_hash()).await;
    let mut play = Play {
        forgiving: world.api.client(),
        strict: strict.client(),
        member,
        password: testkit::PASSWORD.to_owned(),
        sessions: Vec::new(),
    };
    play.sign_in(true).await?;
    for step in steps {
        play.take(step).await?;
        play.check().await?;
    }
    Ok(())
}

#[test]
fn every_history_of_a_users_sessions_agrees_with_the_model() {
    let runtime = Runtime::new().expect("a runtime");
    let (world, strict) = runtime.block_on(async {
        let world = World::with(&["--refresh-token-grace=1h", "--login-refusal-time=0s"]).await;
        let strict = world.env.api_with(&["--refresh-token-grace=0s"]).await;
        (world, strict)
    });
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 64, ..Config::default() };
    let result =
        TestRunner::new(config).run(&vec(step(), STEPS), |steps| runtime.block_on(play(&world, &strict, &steps)));
    runtime.block_on(async {
        strict.stop().await;
        world.end().await;
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
