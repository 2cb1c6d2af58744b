// Package cloudtest holds a local fake of each IoT platform that verifies what the real one verifies: the form of client id,
// user name and password, every signature, times, TLS where it is demanded, keepalives, topics, and that a device has one
// connection, of which the older one is ended. It was written from the platforms' documents, apart from the code that signs,
// and shares nothing with it. No live platform has been asked.
//
//	cloud.go      Start, Cloud: the broker, plain and with TLS, and what a test can do with it
//	hook.go       what the broker asks: one connection, topics, retain, QoS 2
//	tls.go        an authority, and a certificate for whatever name a client asks for
//	aliyun.go     Aliyun: one secret for each device; aliyun_register.go: registration by HTTPS and MQTT, with its state
//	easemob.go    Easemob: its tokens by REST
//	tencent.go    Tencent: login and registration, by both of its interfaces
//	others.go     OneNET, Huawei, Baidu; tls_only.go: Tuya, Azure
//
// Map makes a simulated module find the fake behind the platform's real names.
//
// What no document says is decided so: Aliyun answers a wrong signature with 4, a subscription to a foreign topic with 0x80,
// and acknowledges a publish to one without passing it on; a session that uses QoS 2 or retain where they are forbidden is
// ended; Tencent tells a device its key each time it asks, and refuses with codes of our own; a mismatch of securemode and transport is noted, and refused only in Strict mode; Easemob ends the older of two
// sessions with one client id, refuses a bad token with 4, and both it and OneNET end a session whose token has ended.
package cloudtest
