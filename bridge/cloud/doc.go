// Package cloud knows how a device logs in to each IoT platform: from its identity and the time to the parameters of MQTT,
// and from the product's secret, where there is one, to the device's own.
//
//	cloud.go       Params: what every platform is asked for; rules.go: what each forbids
//	aliyun.go      Aliyun IoT: one secret for each device, and what registration hands out instead
//	easemob.go     Easemob's MQTT service; easemob_token.go fetches its tokens
//	onenet.go      OneNET, Tencent, Huawei, Baidu, Tuya, Azure: one file each
//	register.go    registration by the product's secret: with Aliyun by HTTPS and by MQTT (register_aliyun.go), with Tencent
//	               (register_tencent.go); store.go: what it has handed out, on disk
//	http.go        a client whose way out is given; alink.go: Aliyun's frames around properties, events and services
//
// Params is pure: it connects to nothing and knows no clock but the one it is handed. What needs the network is handed the
// way to it, a function such as net.Dialer's DialContext, which may be a modem's, and what checks certificates a clock.
//
// The platforms' own time over MQTT (Aliyun's /ext/ntp/..., Tencent's $sys/operation/...) is not asked for: they tell it to who
// is logged in, and what waits for the time is the login, by TLS or with a token that ends. To log in without TLS first would
// give whoever listens on the way the login that was to be hidden from him, and a time that he may choose.
package cloud
