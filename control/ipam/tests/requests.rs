//! What Docker asks for, case by case.

use std::net::IpAddr;

use ipnet::IpNet;
use paceline_ipam::{
    AddressRequest, IpamError, Plan, PoolId, PoolRequest, Pools, Space, release_address, release_pool,
    request_address, request_pool,
};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn plan() -> Plan {
    Plan::for_host(b"test")
}

fn automatic(v6: bool) -> PoolRequest {
    PoolRequest { space: Space::Local, subnet: None, range: None, v6 }
}

fn take(pools: &mut Pools, subnet: &str, range: Option<&str>) -> Result<PoolId, IpamError> {
    let subnet = net(subnet);
    let v6 = matches!(subnet, IpNet::V6(_));
    let request = PoolRequest { subnet: Some(subnet), range: range.map(net), ..automatic(v6) };
    request_pool(pools, &plan(), &request)
}

fn next(pools: &mut Pools, pool: PoolId) -> Result<String, IpamError> {
    request_address(pools, pool, &AddressRequest::default()).map(|net| net.to_string())
}

fn exactly(pools: &mut Pools, pool: PoolId, address: &str) -> Result<String, IpamError> {
    let address = address.parse().ok();
    request_address(pools, pool, &AddressRequest { address, ..AddressRequest::default() })
        .map(|net| net.to_string())
}

#[test]
fn a_network_as_docker_makes_it() {
    let mut pools = Pools::default();
    let pool = take(&mut pools, "10.77.0.0/24", None).unwrap();
    assert_eq!(pool.to_string(), "paceline-local/10.77.0.0/24");
    let gateway = AddressRequest { gateway: true, ..AddressRequest::default() };
    assert_eq!(request_address(&mut pools, pool, &gateway).unwrap().to_string(), "10.77.0.1/24");
    assert_eq!(exactly(&mut pools, pool, "10.77.0.3").unwrap(), "10.77.0.3/24");
    assert_eq!(next(&mut pools, pool).unwrap(), "10.77.0.2/24");
    assert_eq!(next(&mut pools, pool).unwrap(), "10.77.0.4/24");
    // An address that was given back rests.
    release_address(&mut pools, pool, "10.77.0.4".parse().unwrap());
    release_address(&mut pools, pool, "10.77.0.4".parse().unwrap());
    assert_eq!(next(&mut pools, pool).unwrap(), "10.77.0.5/24");
    release_pool(&mut pools, pool);
    release_pool(&mut pools, pool);
    assert!(pools.leases.is_empty());
    assert_eq!(next(&mut pools, pool).unwrap_err(), IpamError::NoPool(pool));
}

#[test]
fn addresses_that_cannot_be_had() {
    let mut pools = Pools::default();
    let pool = take(&mut pools, "10.77.0.0/24", Some("10.77.0.128/30")).unwrap();
    let gateway = AddressRequest { address: "10.77.0.1".parse().ok(), gateway: true, mac: None };
    request_address(&mut pools, pool, &gateway).unwrap();
    let mac = "02:00:00:00:00:07".parse().ok();
    request_address(
        &mut pools,
        pool,
        &AddressRequest { address: "10.77.0.9".parse().ok(), gateway: false, mac },
    )
    .unwrap();
    let mut message = |address: &str| exactly(&mut pools, pool, address).unwrap_err().to_string();
    assert_eq!(
        message("10.77.0.1"),
        "address 10.77.0.1: is in use in subnet 10.77.0.0/24 by the gateway; choose another or release it first"
    );
    assert!(message("10.77.0.9").contains("by the interface 02:00:00:00:00:07"));
    assert_eq!(message("10.78.0.1"), "address 10.78.0.1: must be inside the subnet 10.77.0.0/24");
    assert_eq!(message("fd00::1"), "address fd00::1: must be inside the subnet 10.77.0.0/24");
    assert!(message("10.77.0.0").contains("is the network address"));
    assert!(message("10.77.0.255").contains("is the broadcast address"));
    let in_range: Vec<_> = (0..4).map(|_| next(&mut pools, pool).unwrap()).collect();
    assert_eq!(in_range, ["10.77.0.128/24", "10.77.0.129/24", "10.77.0.130/24", "10.77.0.131/24"]);
    assert_eq!(
        next(&mut pools, pool).unwrap_err().to_string(),
        "subnet 10.77.0.0/24 has no free address left in its ip-range 10.77.0.128/30"
    );
}

#[test]
fn pools_that_cannot_be_had() {
    let mut pools = Pools::default();
    take(&mut pools, "10.77.0.0/16", None).unwrap();
    let mut message =
        |subnet: &str, range: Option<&str>| take(&mut pools, subnet, range).unwrap_err().to_string();
    assert_eq!(
        message("10.77.3.0/24", None),
        "subnet 10.77.3.0/24 overlaps 10.77.0.0/16, which is in use in address space paceline-local: \
         choose another --subnet, or remove the network that has it"
    );
    assert!(message("10.0.0.0/8", None).contains("overlaps 10.77.0.0/16"));
    assert!(message("10.1.0.0/24", Some("10.2.0.0/25")).contains("must be inside the subnet 10.1.0.0/24"));
    assert!(message("10.1.0.0/24", Some("10.1.0.0/23")).contains("must be inside"));
    assert!(message("10.1.0.0/24", Some("10.1.0.255/32")).contains("only the network or broadcast"));
    for special in
        ["0.0.0.0/0", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/0", "::1/128", "ff02::/16"]
    {
        assert!(message(special, None).contains("loopback, multicast or unspecified"), "{special}");
    }
    let wrong = PoolRequest { subnet: Some(net("10.1.0.0/24")), ..automatic(true) };
    assert!(request_pool(&mut pools, &plan(), &wrong).unwrap_err().to_string().contains("an IPv6 one"));
    let alone = PoolRequest { range: Some(net("10.1.0.0/24")), ..automatic(false) };
    assert!(request_pool(&mut pools, &plan(), &alone).unwrap_err().to_string().contains("needs a --subnet"));
    // The other address space is another world.
    let other = PoolRequest { space: Space::Global, subnet: Some(net("10.77.3.0/24")), ..automatic(false) };
    assert!(request_pool(&mut pools, &plan(), &other).is_ok());
}

#[test]
fn bits_behind_the_prefix_are_cut_off() {
    let mut pools = Pools::default();
    assert_eq!(take(&mut pools, "10.77.0.9/24", Some("10.77.0.70/26")).unwrap().subnet, net("10.77.0.0/24"));
    assert_eq!(pools.pools.values().next().unwrap().range, Some(net("10.77.0.64/26")));
}

#[test]
fn an_automatic_pool_differs_from_the_last() {
    for v6 in [false, true] {
        let mut pools = Pools::default();
        let mut last = None;
        for _ in 0..100 {
            let id = request_pool(&mut pools, &plan(), &automatic(v6)).unwrap();
            assert_ne!(Some(id), last);
            assert_eq!(id.subnet.prefix_len(), if v6 { 64 } else { 24 });
            next(&mut pools, id).unwrap();
            release_pool(&mut pools, id);
            last = Some(id);
        }
    }
}

#[test]
fn a_rejected_pool_is_followed_by_one_of_another_block() {
    let mut pools = Pools::default();
    let first_octet = |id: PoolId| match id.subnet.addr() {
        IpAddr::V4(address) => address.octets()[0],
        IpAddr::V6(_) => 0,
    };
    // The engine holds on to what it rejects until it has one that it likes.
    let tries: Vec<_> =
        (0..4).map(|_| first_octet(request_pool(&mut pools, &plan(), &automatic(false)).unwrap())).collect();
    assert_eq!(tries, [10, 172, 192, 10]);
    // One that is in use was liked: the next is its neighbour.
    let mut pools = Pools::default();
    for third in 0..3 {
        let id = request_pool(&mut pools, &plan(), &automatic(false)).unwrap();
        assert_eq!(id.subnet.to_string(), format!("10.200.{third}.0/24"));
        next(&mut pools, id).unwrap();
    }
}

#[test]
fn automatic_pools_end_with_an_error() {
    let mut pools = Pools::default();
    let mut count = 0;
    let error = loop {
        match request_pool(&mut pools, &plan(), &automatic(false)) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(count, 2048 + 512 + 64);
    assert!(error.to_string().contains("no automatic IPv4 subnet left: name one with --subnet"));
}

#[test]
fn a_large_subnet_costs_no_more_than_a_small_one() {
    let mut pools = Pools::default();
    let pool = take(&mut pools, "fd00::/64", None).unwrap();
    for number in 1..=5000 {
        assert_eq!(next(&mut pools, pool).unwrap(), format!("fd00::{number:x}/64"));
    }
    let last = exactly(&mut pools, pool, "fd00::ffff:ffff:ffff:ffff").unwrap();
    assert_eq!(last, "fd00::ffff:ffff:ffff:ffff/64");
}
