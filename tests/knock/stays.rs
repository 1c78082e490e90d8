//! What becomes of stages and of who is in: a reload, another configuration, a table that is lost, a daemon that dies.

use crate::scene::{door, knock, somebody, ssh_gate, within, Scene, SOON};
use lanward_rig::house::FAMILIES;
use std::net::IpAddr;

fn sections(options: &str) -> String {
    ssh_gate(&format!("option forget 'never'\n{options}")) + &door("option seconds '600'\noption timeout '60'")
}

/// One source each family that is in, and one that has two steps behind it.
fn half_way(scene: &Scene) -> ([IpAddr; 2], [IpAddr; 2]) {
    let (listed, knocking) = (FAMILIES.map(somebody), FAMILIES.map(somebody));
    for source in listed {
        scene.knock(source, "7000 8000 9000");
    }
    for source in knocking {
        scene.knock(source, "7000 8000");
    }
    scene.settle();
    assert!(listed.iter().all(|source| scene.is_listed(*source)));
    assert!(!knocking.iter().any(|source| scene.is_listed(*source)));
    (listed, knocking)
}

#[test]
fn a_reload_keeps_stages_and_who_is_in() {
    let Some(mut scene) = Scene::start(&sections("")) else {
        return;
    };
    // Unchanged, twice; another gate option; another knock beside it.
    let reloads = [
        sections(""),
        sections(""),
        sections("option window '300'"),
        sections("") + &knock("other", "ssh", "7100 8100", "", ""),
    ];
    for (index, reload) in reloads.iter().enumerate() {
        let (listed, knocking) = half_way(&scene);
        let seconds = scene.list();
        scene.reload(reload);
        assert_eq!(scene.list().len(), seconds.len(), "reload {index}");
        for source in listed {
            assert!(scene.gets_in(source), "reload {index}: {source}");
        }
        for source in knocking {
            scene.knock(source, "9000");
            scene.settle();
            assert!(scene.gets_in(source), "reload {index}: {source} goes on where it was");
        }
    }
    // By the signal as well.
    let (_, knocking) = half_way(&scene);
    scene.home.daemon.hang_up();
    std::thread::sleep(std::time::Duration::from_millis(300));
    for source in knocking {
        scene.knock(source, "9000");
        scene.settle();
        assert!(scene.gets_in(source), "{source}");
    }
}

#[test]
fn a_knock_that_is_gone_opens_nothing_and_lets_those_in_who_were() {
    let Some(mut scene) = Scene::start(&sections("")) else {
        return;
    };
    let (listed, knocking) = half_way(&scene);
    // Another knock on the same gate, with other steps.
    scene.reload(
        &(ssh_gate("option forget 'never'") + &knock("other", "ssh", "7100 8100 9100", "", "option seconds '600'")),
    );
    for source in listed {
        assert!(scene.gets_in(source), "{source}");
    }
    for source in knocking {
        scene.knock(source, "9000 7000 8000 9000");
        scene.settle();
        assert!(!scene.gets_in(source), "{source}");
        scene.knock(source, "7100 8100 9100");
        scene.settle();
        assert!(scene.gets_in(source), "{source}");
    }
    // And without any.
    scene.reload(&ssh_gate("option forget 'never'"));
    let source = somebody(FAMILIES[0]);
    scene.knock(source, "7100 8100 9100");
    scene.settle();
    assert!(!scene.is_listed(source));
}

#[test]
fn a_lost_table_lets_nobody_in_who_was_not() {
    let Some(scene) = Scene::start(&sections("")) else {
        return;
    };
    let router = scene.home.house.router();
    let (listed, knocking) = half_way(&scene);
    router.nft("delete table inet lanward\n");
    for source in listed.into_iter().chain(knocking) {
        scene.knock(source, "9000");
    }
    let is_back = || router.must("nft", &["list", "tables"], "").contains("inet lanward");
    assert!(within(SOON, is_back), "it is put back");
    scene.settle();
    for source in knocking {
        assert!(!scene.gets_in(source), "{source}");
        scene.knock(source, "9000");
        scene.settle();
        assert!(!scene.gets_in(source), "{source}: its stages are gone");
        scene.knock(source, "6000 7000 8000 9000");
        scene.settle();
        assert!(scene.gets_in(source), "{source}: and a new knock is one");
    }
    // Emptied in place, it is the same.
    let (_, knocking) = half_way(&scene);
    router.nft("flush table inet lanward\n");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    for source in knocking {
        assert!(!scene.is_listed(source), "{source}");
    }
}

#[test]
fn with_the_daemon_dead_the_kernel_goes_on() {
    let Some(mut scene) = Scene::start(&sections("")) else {
        return;
    };
    let (listed, knocking) = half_way(&scene);
    scene.home.daemon.kill9();
    let newcomer = somebody(FAMILIES[0]);
    scene.knock(newcomer, "7000 8000 9000");
    for source in knocking {
        scene.knock(source, "9000");
    }
    let all: Vec<IpAddr> = listed.into_iter().chain(knocking).chain([newcomer]).collect();
    for source in &all {
        assert!(within(SOON, || scene.gets_in(*source)), "{source}");
    }
    // A scan neither.
    let stranger = somebody(FAMILIES[0]);
    scene.knock(stranger, "7000 7001 8000 8001 9000 9001");
    assert!(!scene.gets_in(stranger));
    let half = FAMILIES.map(somebody);
    for source in half {
        scene.knock(source, "7000 8000");
    }
    scene.home.daemon.start_again().unwrap_or_else(|why| panic!("{why}"));
    for source in &all {
        assert!(scene.gets_in(*source), "{source}");
    }
    for source in half {
        scene.knock(source, "9000");
        scene.settle();
        assert!(scene.gets_in(source), "{source}: its stages are the kernel's");
    }
}
