//! Tokens that were requested with another one: they are revoked with it, in every node, and not
//! issued once it is revoked.

use super::kept::{made, verify};
use super::{NOW, registry, ring, store};
use crate::support::TestClock;
use keyward_runtime::hook::{HookFuture, IssueHook, RevocationHook};
use keyward_runtime::store::Revocation;
use keyward_runtime::token::TokenId;
use keyward_runtime::{Acceptance, CreateRequest, Created, IssueOptions, Parent, Registry, Verdict};
use pollster::block_on;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Two nodes with one store, and a token that one of them has issued.
struct World {
    _folder: TempDir,
    nodes: [Registry; 2],
    parent: Acceptance,
    token: String,
}

const REVOKED: &str = "Token has been revoked";
const PARENT_REVOKED: &str = "the presented token has been revoked";

fn world() -> World {
    TestClock.set(Some(NOW));
    let (folder, store) = store();
    let nodes = [0, 1].map(|_| registry(store.clone(), ring(), |_| {}));
    let token = made(nodes[0].create_blocking(CreateRequest::new("ann").handler("signed"))).unwrap();
    let Ok(Verdict::Accepted(parent)) = nodes[0].verify_blocking(&token) else { panic!() };
    World { _folder: folder, nodes, parent, token }
}

impl World {
    fn request(&self) -> CreateRequest {
        CreateRequest::new("ann").parent(&self.parent)
    }

    fn child(&self, handler: &str) -> Result<String, String> {
        made(self.nodes[0].create_blocking(self.request().handler(handler)))
    }

    fn by_id(&self) -> Revocation {
        let Some(TokenId { handler, id }) = Parent::of(&self.parent).token() else { panic!() };
        Revocation { handler: Some(handler), token_id: Some(id), ..Revocation::default() }
    }
}

fn accepted(node: &Registry, token: &str) -> Acceptance {
    match node.verify_blocking(token) {
        Ok(Verdict::Accepted(acceptance)) => acceptance,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_child_is_revoked_with_its_parent_in_every_node() {
    for handler in ["signed", "stored"] {
        for by_token in [true, false] {
            let world = world();
            let child = world.child(handler).unwrap();
            let acceptance = accepted(&world.nodes[0], &child);
            let grandchild = CreateRequest::new("ann").parent(&acceptance);
            let grandchild = made(world.nodes[1].create_blocking(grandchild.handler("signed"))).unwrap();
            let record = block_on(
                world.nodes[1].tokens().unwrap().find(&TokenId::new(handler, acceptance.token_id.as_deref().unwrap())),
            );
            assert_eq!(record.unwrap().unwrap().parent, Parent::of(&world.parent).token());
            let [revoking, other] = &world.nodes;
            let verdict = revoking.verify_blocking(&world.token);
            let revocations = match by_token {
                true => {
                    block_on(revoking.revocations().unwrap().presented(&world.token, &verdict))
                        .unwrap()
                        .unwrap()
                        .revocations
                }
                false => vec![world.by_id()],
            };
            assert_eq!(block_on(revoking.revocations().unwrap().count(revocations[0].clone())).unwrap(), 3);
            let ended: u64 = revocations
                .into_iter()
                .map(|revocation| block_on(revoking.revocations().unwrap().revoke(revocation)).unwrap())
                .sum();
            assert_eq!(ended, 3);
            block_on(other.revocations().unwrap().list().catch_up()).unwrap();
            for node in [revoking, other] {
                for token in [&world.token, &child, &grandchild] {
                    assert_eq!(verify(node, token), Err(REVOKED.to_owned()));
                }
            }
        }
    }
}

#[test]
fn children_can_be_kept() {
    let world = world();
    let child = world.child("signed").unwrap();
    let revocation = Revocation { keep_children: true, ..world.by_id() };
    assert_eq!(block_on(world.nodes[0].revocations().unwrap().revoke(revocation)).unwrap(), 1);
    assert_eq!(verify(&world.nodes[0], &world.token), Err(REVOKED.to_owned()));
    assert_eq!(verify(&world.nodes[0], &child), Ok(None));
    block_on(world.nodes[0].revocations().unwrap().list().catch_up()).unwrap();
    assert_eq!(verify(&world.nodes[0], &child), Ok(None), "after the list was read");
    assert_eq!(world.child("signed"), Err(PARENT_REVOKED.to_owned()));
}

#[test]
fn a_rotated_child_has_the_same_parent() {
    let world = world();
    let [node, _] = &world.nodes;
    let child = accepted(node, &world.child("stored").unwrap());
    let rotated = block_on(node.tokens().unwrap().rotate(
        &TokenId::new("stored", child.token_id.as_deref().unwrap()),
        Duration::ZERO,
        IssueOptions::new(),
    ))
    .transpose()
    .unwrap();
    let rotated = made(rotated).unwrap();
    assert_eq!(block_on(node.revocations().unwrap().revoke(world.by_id())).unwrap(), 2);
    assert_eq!(verify(node, &rotated), Err(REVOKED.to_owned()));
}

/// Revokes the parent, as another node may do it while a child is being issued.
struct Revoking<'a>(&'a Registry, Revocation);

impl IssueHook for Revoking<'_> {
    fn before_commit<'a>(&'a self, _: &'a Created) -> HookFuture<'a> {
        Box::pin(async {
            self.0.revocations().unwrap().revoke(self.1.clone()).await.map(drop).map_err(|error| error.to_string())
        })
    }
}

#[test]
fn a_child_is_not_issued_if_its_parent_is_revoked_in_the_meantime() {
    for handler in ["signed", "stored"] {
        let world = world();
        let [issuing, other] = &world.nodes;
        let hook = Revoking(other, world.by_id());
        let created = block_on(issuing.create_with(world.request().handler(handler), IssueOptions::new().hook(&hook)));
        assert_eq!(made(created), Err(PARENT_REVOKED.to_owned()));
        assert_eq!(world.child(handler), Err(PARENT_REVOKED.to_owned()), "{handler}");
    }
}

/// A step that never succeeds, such as a record in an audit log whose disk is full.
struct Never;

impl RevocationHook for Never {
    fn before_write(&self) -> HookFuture<'_> {
        Box::pin(async { Err("the disk is full".to_owned()) })
    }
}

#[test]
fn a_revocation_in_memory_prevents_children() {
    let world = world();
    world.nodes[0].revocations().unwrap().block(world.by_id(), Arc::new(Never)).unwrap();
    for handler in ["signed", "stored"] {
        assert_eq!(world.child(handler), Err(PARENT_REVOKED.to_owned()), "{handler}");
    }
    // Another node does not know of it, and the child is revoked once it is written.
    let child = made(world.nodes[1].create_blocking(world.request().handler("signed"))).unwrap();
    assert_eq!(block_on(world.nodes[0].revocations().unwrap().revoke(world.by_id())).unwrap(), 2);
    assert_eq!(verify(&world.nodes[0], &child), Err(REVOKED.to_owned()));
}
