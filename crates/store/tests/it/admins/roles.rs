//! Who is an admin.

use bson::oid::ObjectId;
use bson::{Bson, doc};
use store::{AdminRole, User};

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_role_comes_with_the_look_up_of_who_asks() {
    let fixture = Fixture::new().await;
    let id = fixture.user().await;
    let session = fixture.sign_in(id).await;
    let users = fixture.store.users();
    let seen = async || users.signed_in(id, session).await.expect("an answer").expect("signed in").admin;
    let name = fixture.read_user(id).await.username;
    assert_eq!(seen().await, None);
    for role in [AdminRole::ReadOnly, AdminRole::Full, AdminRole::Full] {
        assert_eq!(users.grant_admin(&name, role).await.expect("an answer"), Some(id));
        assert_eq!(seen().await, Some(role));
    }
    let admins = users.admins().await.expect("a list");
    assert_eq!(admins.iter().map(|admin| (admin.id, admin.role)).collect::<Vec<_>>(), [(id, AdminRole::Full)]);
    for _ in 0..2 {
        assert_eq!(users.revoke_admin(&name).await.expect("an answer"), Some(id));
        assert_eq!((seen().await, users.admins().await.expect("a list")), (None, Vec::new()));
    }
    for name in ["nobody", "", "$nobody"] {
        assert_eq!(users.grant_admin(name, AdminRole::Full).await.expect("an answer"), None);
        assert_eq!(users.revoke_admin(name).await.expect("an answer"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_chai_backend_becomes_an_admin_too_and_an_unknown_role_is_none() {
    let fixture = Fixture::new().await;
    let read = async |id: ObjectId| -> User {
        let id = messages::UserId::from_bytes(id.bytes());
        fixture.store.users().find(id).await.expect("an answer").expect("the user")
    };
    let users = fixture.collection("users");
    for (name, steep) in
        [("without", None), ("with-null", Some(Bson::Null)), ("of-later", Some(doc! { "admin": "king" }.into()))]
    {
        let id = ObjectId::new();
        let mut user = doc! { "_id": id, "username": name, "email": format!("{name}@example.com") };
        user.extend(steep.map(|steep| ("steep".to_owned(), steep)));
        users.insert_one(user).await.expect("inserted");
        assert_eq!(read(id).await.admin, None, "{name}");
        fixture.store.users().grant_admin(name, AdminRole::Full).await.expect("an answer").expect("the user");
        assert_eq!(read(id).await.admin, Some(AdminRole::Full), "{name}");
    }
    assert_eq!(fixture.store.users().admins().await.expect("a list").len(), 3);
}
