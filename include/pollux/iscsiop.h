/* The structures of MSiSCSI_Operations and of the session information beside them, as pollux's
 * command ring carries them: documented names, natural alignment, little-endian host order.
 *
 * Text fields (uint16_t arrays) are counted: element 0 is the length in bytes, elements 1..n are
 * UTF-16 (n = 223, 255 or 256 characters), the rest is zero. Convert with pollux_text_encode and
 * _decode. A member declared [1] at the end is a placeholder: the size field in front of it is the
 * truth. Status is the operation status (iscsierr.h). Bytes between members are zero. C11 and C++.
 */
#ifndef POLLUX_ISCSIOP_H
#define POLLUX_ISCSIOP_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Characters a counted text holds, without its length element. */
#define POLLUX_ISCSI_NAME_CHARS 223
#define POLLUX_ISCSI_ALIAS_CHARS 255
#define POLLUX_ISCSI_ADDRESS_CHARS 256
#define POLLUX_ISCSI_SENSE_BYTES 18
/* PortNumber: any initiator port. */
#define POLLUX_ISCSI_ANY_PORT UINT32_C(0xFFFFFFFF)
/* OSTarget: any. */
#define POLLUX_ISCSI_ANY_TARGET UINT32_C(0xFFFFFFFF)

/* Method ids; on the ring they are the opcodes. */
enum {
  MSiSCSI_SendTargets = 10,
  MSiSCSI_LoginToTarget = 30,
  MSiSCSI_LogoutFromTarget = 31,
  MSiSCSI_AddConnectionToSession = 32,
  MSiSCSI_RemovePersistentLogin = 33,
  MSiSCSI_RemoveConnectionFromSession = 34,
  MSiSCSI_ScsiInquiry = 50,
  MSiSCSI_ScsiReadCapacity = 51,
  MSiSCSI_ScsiReportLuns = 52,
  MSiSCSI_SetCHAPSharedSecret = 71,
  MSiSCSI_SetRADIUSSharedSecret = 72,
  MSiSCSI_DeleteInitiatorNodeName = 91,
  MSiSCSI_SetInitiatorNodeName = 92,
  MSiSCSI_AddiSNSServer = 101,
  MSiSCSI_RemoveiSNSServer = 102,
  MSiSCSI_AddRADIUSServer = 103,
  MSiSCSI_RemoveRADIUSServer = 104
};

/* ISCSI_IP_Address.Type */
enum {
  ISCSI_IP_ADDRESS_TEXT = 0,
  ISCSI_IP_ADDRESS_IPV4 = 1,
  ISCSI_IP_ADDRESS_IPV6 = 2,
  ISCSI_IP_ADDRESS_EMPTY = 3
};

/* LoginToTarget_IN.SessionType and, with boot, ISCSI_SessionStaticInfo.Type */
enum {
  ISCSI_SESSION_DISCOVERY = 0,
  ISCSI_SESSION_INFORMATIONAL = 1,
  ISCSI_SESSION_DATA = 2,
  ISCSI_SESSION_BOOT = 3
};

/* ISCSI_LoginOptions.InformationSpecified: a field counts only when its bit is set. */
enum {
  ISCSI_LOGIN_OPTIONS_HEADER_DIGEST = 0x01,
  ISCSI_LOGIN_OPTIONS_DATA_DIGEST = 0x02,
  ISCSI_LOGIN_OPTIONS_MAXIMUM_CONNECTIONS = 0x04,
  ISCSI_LOGIN_OPTIONS_DEFAULT_TIME_2_WAIT = 0x08,
  ISCSI_LOGIN_OPTIONS_DEFAULT_TIME_2_RETAIN = 0x10,
  ISCSI_LOGIN_OPTIONS_USERNAME = 0x20,
  ISCSI_LOGIN_OPTIONS_PASSWORD = 0x40,
  ISCSI_LOGIN_OPTIONS_AUTH_TYPE = 0x80
};

/* ISCSI_LoginOptions.LoginFlags */
enum {
  ISCSI_LOGIN_FLAG_REQUIRE_IPSEC = 0x01,
  ISCSI_LOGIN_FLAG_MULTIPATH_ENABLED = 0x02,
  ISCSI_LOGIN_FLAG_RESERVED1 = 0x04,
  ISCSI_LOGIN_FLAG_ALLOW_PORTAL_HOPPING = 0x08,
  ISCSI_LOGIN_FLAG_USE_RADIUS_RESPONSE = 0x10,
  ISCSI_LOGIN_FLAG_USE_RADIUS_VERIFICATION = 0x20
};

/* HeaderDigest and DataDigest; HeaderIntegrity and DataIntegrity */
enum { ISCSI_DIGEST_TYPE_NONE = 0, ISCSI_DIGEST_TYPE_CRC32C = 1 };

/* AuthType */
enum { ISCSI_NO_AUTH_TYPE = 0, ISCSI_CHAP_AUTH_TYPE = 1, ISCSI_MUTUAL_CHAP_AUTH_TYPE = 2 };

/* SecurityFlags, the bits iSNS uses for a portal */
enum {
  ISCSI_SECURITY_FLAG_VALID = 0x01,
  ISCSI_SECURITY_FLAG_IKE_IPSEC_ENABLED = 0x02,
  ISCSI_SECURITY_FLAG_MAIN_MODE_ENABLED = 0x04,
  ISCSI_SECURITY_FLAG_AGGRESSIVE_MODE_ENABLED = 0x08,
  ISCSI_SECURITY_FLAG_PFS_ENABLED = 0x10,
  ISCSI_SECURITY_FLAG_TRANSPORT_MODE_PREFERRED = 0x20,
  ISCSI_SECURITY_FLAG_TUNNEL_MODE_PREFERRED = 0x40
};

/* ISCSI_ConnectionStaticInfo.State */
enum {
  ISCSI_CONNECTION_STATE_LOGIN = 0,
  ISCSI_CONNECTION_STATE_FULL_FEATURE = 1,
  ISCSI_CONNECTION_STATE_LOGOUT = 2
};
#define ISCSI_PROTOCOL_TCP 6

/* ---- embedded types ------------------------------------------------------------------------- */

typedef struct ISCSI_IP_Address {
  uint32_t Type;
  uint32_t IpV4Address; /* network byte order, as in struct in_addr */
  uint8_t IpV6Address[16];
  uint32_t IpV6FlowInfo;
  uint32_t IpV6ScopeId;
  uint16_t TextAddress[POLLUX_ISCSI_ADDRESS_CHARS + 1];
} ISCSI_IP_Address;

typedef struct ISCSI_TargetPortal {
  ISCSI_IP_Address Address;
  uint32_t Reserved;
  uint16_t Socket; /* TCP port, host byte order */
} ISCSI_TargetPortal;

typedef struct ISCSI_TargetPortalGroup {
  uint32_t PortalCount;
  ISCSI_TargetPortal Portals[1];
} ISCSI_TargetPortalGroup;

typedef struct ISCSI_LoginOptions {
  uint32_t InformationSpecified;
  uint32_t HeaderDigest;
  uint32_t DataDigest;
  uint32_t MaximumConnections; /* 0 no limit, else 1..65535 */
  uint32_t DefaultTime2Wait;
  uint32_t DefaultTime2Retain;
  uint32_t LoginFlags;
  uint32_t AuthType;
} ISCSI_LoginOptions;

typedef struct ISCSI_LUNList {
  uint64_t TargetLUN; /* the eight bytes of the LUN, most significant first */
  uint32_t OSLUN;
  uint32_t Reserved;
} ISCSI_LUNList;

typedef struct ISCSI_TargetMapping {
  uint32_t OSBus;
  uint32_t OSTarget;
  uint64_t UniqueSessionId;
  uint32_t LUNCount;
  uint16_t TargetName[POLLUX_ISCSI_NAME_CHARS + 1];
  uint8_t FromPersistentLogin;
  uint64_t Reserved;
  ISCSI_LUNList LUNList[1];
} ISCSI_TargetMapping;

/* ---- MSiSCSI_Operations --------------------------------------------------------------------- */

typedef struct SendTargets_IN {
  uint64_t UniqueSessionId;
  uint16_t SendTargetsText[POLLUX_ISCSI_NAME_CHARS + 1]; /* the value: All, a name, or empty */
} SendTargets_IN;

typedef struct SendTargets_OUT {
  uint32_t Status;
  uint32_t ResponseSize; /* bytes */
  uint8_t Response[1];   /* UTF-8 key=value pairs, each ended by NUL as on the wire */
} SendTargets_OUT;

/* Key is at POLLUX_LOGIN_KEY_OFFSET(Mappings.LUNCount): LUNList always has room for one entry at
 * least, so with no or one LUN it is where the member is. Username[UsernameSize] and
 * Password[PasswordSize] follow Key without padding. */
typedef struct LoginToTarget_IN {
  uint32_t PortNumber;
  ISCSI_LoginOptions LoginOptions;
  uint32_t SessionType;
  uint64_t SecurityFlags;
  ISCSI_TargetPortal TargetPortal;
  uint32_t UsernameSize;
  uint32_t PasswordSize;
  uint32_t KeySize;
  uint16_t UniqueIdForISID;
  uint8_t PersistentLogin;
  uint16_t InitiatorNode[POLLUX_ISCSI_NAME_CHARS + 1];
  uint16_t InitiatorAlias[POLLUX_ISCSI_ALIAS_CHARS + 1];
  uint16_t TargetName[POLLUX_ISCSI_NAME_CHARS + 1];
  ISCSI_TargetMapping Mappings;
  uint8_t Key[1];
} LoginToTarget_IN;

#define POLLUX_LOGIN_KEY_OFFSET(lun_count) \
  (offsetof(LoginToTarget_IN, Key) +       \
   ((lun_count) > 1 ? (size_t)(lun_count)-1 : (size_t)0) * sizeof(ISCSI_LUNList))

typedef struct LoginToTarget_OUT {
  uint32_t Status;
  uint64_t UniqueSessionId;
  uint64_t UniqueConnectionId;
} LoginToTarget_OUT;

typedef struct LogoutFromTarget_IN {
  uint64_t UniqueSessionId;
} LogoutFromTarget_IN;

typedef struct LogoutFromTarget_OUT {
  uint32_t Status;
} LogoutFromTarget_OUT;

/* Username[UsernameSize] and Password[PasswordSize] follow Key without padding. */
typedef struct AddConnectionToSession_IN {
  uint64_t UniqueAdapterId;
  uint64_t UniqueSessionId;
  uint64_t SecurityFlags;
  uint32_t PortNumber;
  ISCSI_LoginOptions LoginOptions;
  ISCSI_TargetPortal TargetPortal;
  uint32_t UsernameSize;
  uint32_t PasswordSize;
  uint32_t KeySize;
  uint8_t Key[1];
} AddConnectionToSession_IN;

typedef struct AddConnectionToSession_OUT {
  uint32_t Status;
  uint64_t UniqueConnectionId;
} AddConnectionToSession_OUT;

typedef struct RemovePersistentLogin_IN {
  uint32_t PortNumber;
  uint16_t TargetName[POLLUX_ISCSI_NAME_CHARS + 1];
  ISCSI_TargetPortal TargetPortal; /* Address.Type EMPTY: all portals of the target */
} RemovePersistentLogin_IN;

typedef struct RemovePersistentLogin_OUT {
  uint32_t Status;
} RemovePersistentLogin_OUT;

typedef struct RemoveConnectionFromSession_IN {
  uint64_t UniqueSessionId;
  uint64_t UniqueConnectionId;
} RemoveConnectionFromSession_IN;

typedef struct RemoveConnectionFromSession_OUT {
  uint32_t Status;
} RemoveConnectionFromSession_OUT;

typedef struct ScsiInquiry_IN {
  uint64_t UniqueSessionId;
  uint64_t Lun;
  uint8_t InquiryFlags; /* CDB byte 1: bit 0 EVPD, bit 1 CmdDt */
  uint8_t PageCode;     /* CDB byte 2 */
} ScsiInquiry_IN;

/* With Status ISDSC_SCSI_REQUEST_FAILED, ScsiStatus and SenseBuffer say why. */
typedef struct ScsiInquiry_OUT {
  uint32_t Status;
  uint32_t ResponseBufferSize; /* bytes */
  uint8_t ScsiStatus;
  uint8_t SenseBuffer[POLLUX_ISCSI_SENSE_BYTES];
  uint8_t ResponseBuffer[1];
} ScsiInquiry_OUT;

typedef struct ScsiReadCapacity_IN {
  uint64_t UniqueSessionId;
  uint64_t Lun;
} ScsiReadCapacity_IN;

typedef struct ScsiReadCapacity_OUT {
  uint32_t Status;
  uint32_t ResponseBufferSize;
  uint8_t ScsiStatus;
  uint8_t SenseBuffer[POLLUX_ISCSI_SENSE_BYTES];
  uint8_t ResponseBuffer[1];
} ScsiReadCapacity_OUT;

typedef struct ScsiReportLuns_IN {
  uint64_t UniqueSessionId;
} ScsiReportLuns_IN;

typedef struct ScsiReportLuns_OUT {
  uint32_t Status;
  uint32_t ResponseBufferSize;
  uint8_t ScsiStatus;
  uint8_t SenseBuffer[POLLUX_ISCSI_SENSE_BYTES];
  uint8_t ResponseBuffer[1];
} ScsiReportLuns_OUT;

/* The secret the initiator checks the target's answer with, in mutual CHAP. */
typedef struct SetCHAPSharedSecret_IN {
  uint32_t SharedSecretSize;
  uint8_t SharedSecret[1];
} SetCHAPSharedSecret_IN;

typedef struct SetCHAPSharedSecret_OUT {
  uint32_t Status;
} SetCHAPSharedSecret_OUT;

typedef struct SetRADIUSSharedSecret_IN {
  uint32_t SharedSecretSize;
  uint8_t SharedSecret[1];
} SetRADIUSSharedSecret_IN;

typedef struct SetRADIUSSharedSecret_OUT {
  uint32_t Status;
} SetRADIUSSharedSecret_OUT;

typedef struct DeleteInitiatorNodeName_IN {
  uint16_t DeletedInitiatorName[POLLUX_ISCSI_NAME_CHARS + 1];
} DeleteInitiatorNodeName_IN;

typedef struct DeleteInitiatorNodeName_OUT {
  uint32_t Status;
} DeleteInitiatorNodeName_OUT;

typedef struct SetInitiatorNodeName_IN {
  uint16_t CreatedInitiatorName[POLLUX_ISCSI_NAME_CHARS + 1];
} SetInitiatorNodeName_IN;

typedef struct SetInitiatorNodeName_OUT {
  uint32_t Status;
} SetInitiatorNodeName_OUT;

typedef struct AddiSNSServer_IN {
  uint16_t iSNSServerName[POLLUX_ISCSI_NAME_CHARS + 1];
} AddiSNSServer_IN;

typedef struct AddiSNSServer_OUT {
  uint32_t Status;
} AddiSNSServer_OUT;

typedef struct RemoveiSNSServer_IN {
  uint16_t iSNSServerName[POLLUX_ISCSI_NAME_CHARS + 1];
} RemoveiSNSServer_IN;

typedef struct RemoveiSNSServer_OUT {
  uint32_t Status;
} RemoveiSNSServer_OUT;

typedef struct AddRADIUSServer_IN {
  ISCSI_IP_Address RADIUSIPAddress;
} AddRADIUSServer_IN;

typedef struct AddRADIUSServer_OUT {
  uint32_t Status;
} AddRADIUSServer_OUT;

typedef struct RemoveRADIUSServer_IN {
  ISCSI_IP_Address RADIUSIPAddress;
} RemoveRADIUSServer_IN;

typedef struct RemoveRADIUSServer_OUT {
  uint32_t Status;
} RemoveRADIUSServer_OUT;

/* ---- session information -------------------------------------------------------------------- */

typedef struct ISCSI_ConnectionStaticInfo {
  uint64_t UniqueConnectionId;
  uint16_t CID;
  uint8_t State;
  uint8_t Protocol;
  uint8_t HeaderIntegrity;
  uint8_t DataIntegrity;
  uint16_t Reserved;
  uint32_t MaxRecvDataSegmentLength;
  uint32_t AuthType;
  ISCSI_IP_Address LocalAddr;
  uint32_t LocalPort;
  ISCSI_IP_Address RemoteAddr;
  uint32_t RemotePort;
  uint64_t EstimatedThroughput; /* bytes per second */
  uint32_t MaxDatagramSize;
} ISCSI_ConnectionStaticInfo;

/* The next session starts right after the last of ConnectionCount connections (zero or more):
 * POLLUX_SESSION_INFO_BYTES(ConnectionCount) further on. */
typedef struct ISCSI_SessionStaticInfo {
  uint64_t UniqueSessionId;
  uint16_t InitiatoriSCSIName[POLLUX_ISCSI_NAME_CHARS + 1];
  uint16_t TargetiSCSIName[POLLUX_ISCSI_NAME_CHARS + 1];
  uint16_t TSID;
  uint8_t ISID[6];
  uint8_t InitialR2t;
  uint8_t ImmediateData;
  uint8_t Type;
  uint8_t DataSequenceInOrder;
  uint8_t DataPduInOrder;
  uint8_t ErrorRecoveryLevel;
  uint32_t MaxOutstandingR2t;
  uint32_t FirstBurstLength;
  uint32_t MaxBurstLength;
  uint32_t MaxConnections;
  uint16_t ConnectionCount;
  ISCSI_ConnectionStaticInfo ConnectionsList[1];
} ISCSI_SessionStaticInfo;

#define POLLUX_SESSION_INFO_BYTES(connection_count)     \
  (offsetof(ISCSI_SessionStaticInfo, ConnectionsList) + \
   (size_t)(connection_count) * sizeof(ISCSI_ConnectionStaticInfo))

typedef struct MSiSCSI_InitiatorSessionInfo {
  uint64_t UniqueAdapterId;
  uint32_t SessionCount;
  ISCSI_SessionStaticInfo SessionsList[1];
} MSiSCSI_InitiatorSessionInfo;

/* ---- layout --------------------------------------------------------------------------------- */

static_assert(sizeof(ISCSI_IP_Address) == 548, "ISCSI_IP_Address");
static_assert(offsetof(ISCSI_IP_Address, IpV6Address) == 8, "IpV6Address");
static_assert(offsetof(ISCSI_IP_Address, TextAddress) == 32, "TextAddress");
static_assert(sizeof(ISCSI_TargetPortal) == 556, "ISCSI_TargetPortal");
static_assert(offsetof(ISCSI_TargetPortal, Socket) == 552, "Socket");
static_assert(offsetof(ISCSI_TargetPortalGroup, Portals) == 4, "Portals");
static_assert(sizeof(ISCSI_LoginOptions) == 32, "ISCSI_LoginOptions");
static_assert(sizeof(ISCSI_LUNList) == 16, "ISCSI_LUNList");
static_assert(sizeof(ISCSI_TargetMapping) == 496, "ISCSI_TargetMapping");
static_assert(offsetof(ISCSI_TargetMapping, UniqueSessionId) == 8, "UniqueSessionId");
static_assert(offsetof(ISCSI_TargetMapping, TargetName) == 20, "TargetName");
static_assert(offsetof(ISCSI_TargetMapping, FromPersistentLogin) == 468, "FromPersistentLogin");
static_assert(offsetof(ISCSI_TargetMapping, Reserved) == 472, "Reserved");
static_assert(offsetof(ISCSI_TargetMapping, LUNList) == 480, "LUNList");

static_assert(sizeof(SendTargets_IN) == 456, "SendTargets_IN");
static_assert(offsetof(SendTargets_IN, SendTargetsText) == 8, "SendTargetsText");
static_assert(sizeof(SendTargets_OUT) == 12, "SendTargets_OUT");
static_assert(offsetof(SendTargets_OUT, Response) == 8, "Response");

static_assert(sizeof(LoginToTarget_IN) == 2536, "LoginToTarget_IN");
static_assert(offsetof(LoginToTarget_IN, LoginOptions) == 4, "LoginOptions");
static_assert(offsetof(LoginToTarget_IN, SessionType) == 36, "SessionType");
static_assert(offsetof(LoginToTarget_IN, SecurityFlags) == 40, "SecurityFlags");
static_assert(offsetof(LoginToTarget_IN, TargetPortal) == 48, "TargetPortal");
static_assert(offsetof(LoginToTarget_IN, UsernameSize) == 604, "UsernameSize");
static_assert(offsetof(LoginToTarget_IN, PasswordSize) == 608, "PasswordSize");
static_assert(offsetof(LoginToTarget_IN, KeySize) == 612, "KeySize");
static_assert(offsetof(LoginToTarget_IN, UniqueIdForISID) == 616, "UniqueIdForISID");
static_assert(offsetof(LoginToTarget_IN, PersistentLogin) == 618, "PersistentLogin");
static_assert(offsetof(LoginToTarget_IN, InitiatorNode) == 620, "InitiatorNode");
static_assert(offsetof(LoginToTarget_IN, InitiatorAlias) == 1068, "InitiatorAlias");
static_assert(offsetof(LoginToTarget_IN, TargetName) == 1580, "TargetName");
static_assert(offsetof(LoginToTarget_IN, Mappings) == 2032, "Mappings");
static_assert(offsetof(LoginToTarget_IN, Key) == 2528, "Key");
static_assert(sizeof(LoginToTarget_OUT) == 24, "LoginToTarget_OUT");
static_assert(offsetof(LoginToTarget_OUT, UniqueSessionId) == 8, "UniqueSessionId");
static_assert(offsetof(LoginToTarget_OUT, UniqueConnectionId) == 16, "UniqueConnectionId");

static_assert(sizeof(LogoutFromTarget_IN) == 8, "LogoutFromTarget_IN");
static_assert(sizeof(LogoutFromTarget_OUT) == 4, "LogoutFromTarget_OUT");

static_assert(sizeof(AddConnectionToSession_IN) == 632, "AddConnectionToSession_IN");
static_assert(offsetof(AddConnectionToSession_IN, PortNumber) == 24, "PortNumber");
static_assert(offsetof(AddConnectionToSession_IN, LoginOptions) == 28, "LoginOptions");
static_assert(offsetof(AddConnectionToSession_IN, TargetPortal) == 60, "TargetPortal");
static_assert(offsetof(AddConnectionToSession_IN, UsernameSize) == 616, "UsernameSize");
static_assert(offsetof(AddConnectionToSession_IN, Key) == 628, "Key");
static_assert(sizeof(AddConnectionToSession_OUT) == 16, "AddConnectionToSession_OUT");
static_assert(offsetof(AddConnectionToSession_OUT, UniqueConnectionId) == 8, "UniqueConnectionId");

static_assert(sizeof(RemovePersistentLogin_IN) == 1008, "RemovePersistentLogin_IN");
static_assert(offsetof(RemovePersistentLogin_IN, TargetPortal) == 452, "TargetPortal");
static_assert(sizeof(RemovePersistentLogin_OUT) == 4, "RemovePersistentLogin_OUT");
static_assert(sizeof(RemoveConnectionFromSession_IN) == 16, "RemoveConnectionFromSession_IN");
static_assert(sizeof(RemoveConnectionFromSession_OUT) == 4, "RemoveConnectionFromSession_OUT");

static_assert(sizeof(ScsiInquiry_IN) == 24, "ScsiInquiry_IN");
static_assert(offsetof(ScsiInquiry_IN, InquiryFlags) == 16, "InquiryFlags");
static_assert(offsetof(ScsiInquiry_IN, PageCode) == 17, "PageCode");
static_assert(sizeof(ScsiInquiry_OUT) == 28, "ScsiInquiry_OUT");
static_assert(offsetof(ScsiInquiry_OUT, ScsiStatus) == 8, "ScsiStatus");
static_assert(offsetof(ScsiInquiry_OUT, SenseBuffer) == 9, "SenseBuffer");
static_assert(offsetof(ScsiInquiry_OUT, ResponseBuffer) == 27, "ResponseBuffer");
static_assert(sizeof(ScsiReadCapacity_IN) == 16, "ScsiReadCapacity_IN");
static_assert(sizeof(ScsiReadCapacity_OUT) == 28, "ScsiReadCapacity_OUT");
static_assert(offsetof(ScsiReadCapacity_OUT, ResponseBuffer) == 27, "ResponseBuffer");
static_assert(sizeof(ScsiReportLuns_IN) == 8, "ScsiReportLuns_IN");
static_assert(sizeof(ScsiReportLuns_OUT) == 28, "ScsiReportLuns_OUT");
static_assert(offsetof(ScsiReportLuns_OUT, ResponseBuffer) == 27, "ResponseBuffer");

static_assert(sizeof(SetCHAPSharedSecret_IN) == 8, "SetCHAPSharedSecret_IN");
static_assert(offsetof(SetCHAPSharedSecret_IN, SharedSecret) == 4, "SharedSecret");
static_assert(sizeof(SetCHAPSharedSecret_OUT) == 4, "SetCHAPSharedSecret_OUT");
static_assert(sizeof(SetRADIUSSharedSecret_IN) == 8, "SetRADIUSSharedSecret_IN");
static_assert(offsetof(SetRADIUSSharedSecret_IN, SharedSecret) == 4, "SharedSecret");
static_assert(sizeof(SetRADIUSSharedSecret_OUT) == 4, "SetRADIUSSharedSecret_OUT");
static_assert(sizeof(DeleteInitiatorNodeName_IN) == 448, "DeleteInitiatorNodeName_IN");
static_assert(sizeof(DeleteInitiatorNodeName_OUT) == 4, "DeleteInitiatorNodeName_OUT");
static_assert(sizeof(SetInitiatorNodeName_IN) == 448, "SetInitiatorNodeName_IN");
static_assert(sizeof(SetInitiatorNodeName_OUT) == 4, "SetInitiatorNodeName_OUT");
static_assert(sizeof(AddiSNSServer_IN) == 448, "AddiSNSServer_IN");
static_assert(sizeof(AddiSNSServer_OUT) == 4, "AddiSNSServer_OUT");
static_assert(sizeof(RemoveiSNSServer_IN) == 448, "RemoveiSNSServer_IN");
static_assert(sizeof(RemoveiSNSServer_OUT) == 4, "RemoveiSNSServer_OUT");
static_assert(sizeof(AddRADIUSServer_IN) == 548, "AddRADIUSServer_IN");
static_assert(sizeof(AddRADIUSServer_OUT) == 4, "AddRADIUSServer_OUT");
static_assert(sizeof(RemoveRADIUSServer_IN) == 548, "RemoveRADIUSServer_IN");
static_assert(sizeof(RemoveRADIUSServer_OUT) == 4, "RemoveRADIUSServer_OUT");

static_assert(sizeof(ISCSI_ConnectionStaticInfo) == 1144, "ISCSI_ConnectionStaticInfo");
static_assert(offsetof(ISCSI_ConnectionStaticInfo, CID) == 8, "CID");
static_assert(offsetof(ISCSI_ConnectionStaticInfo, Reserved) == 14, "Reserved");
static_assert(offsetof(ISCSI_ConnectionStaticInfo, LocalAddr) == 24, "LocalAddr");
static_assert(offsetof(ISCSI_ConnectionStaticInfo, LocalPort) == 572, "LocalPort");
static_assert(offsetof(ISCSI_ConnectionStaticInfo, RemoteAddr) == 576, "RemoteAddr");
static_assert(offsetof(ISCSI_ConnectionStaticInfo, RemotePort) == 1124, "RemotePort");
static_assert(offsetof(ISCSI_ConnectionStaticInfo, EstimatedThroughput) == 1128, "throughput");
static_assert(offsetof(ISCSI_ConnectionStaticInfo, MaxDatagramSize) == 1136, "MaxDatagramSize");
static_assert(sizeof(ISCSI_SessionStaticInfo) == 944 + 1144, "ISCSI_SessionStaticInfo");
static_assert(offsetof(ISCSI_SessionStaticInfo, TargetiSCSIName) == 456, "TargetiSCSIName");
static_assert(offsetof(ISCSI_SessionStaticInfo, TSID) == 904, "TSID");
static_assert(offsetof(ISCSI_SessionStaticInfo, ISID) == 906, "ISID");
static_assert(offsetof(ISCSI_SessionStaticInfo, Type) == 914, "Type");
static_assert(offsetof(ISCSI_SessionStaticInfo, MaxOutstandingR2t) == 920, "MaxOutstandingR2t");
static_assert(offsetof(ISCSI_SessionStaticInfo, ConnectionCount) == 936, "ConnectionCount");
static_assert(offsetof(ISCSI_SessionStaticInfo, ConnectionsList) == 944, "ConnectionsList");
static_assert(offsetof(MSiSCSI_InitiatorSessionInfo, SessionCount) == 8, "SessionCount");
static_assert(offsetof(MSiSCSI_InitiatorSessionInfo, SessionsList) == 16, "SessionsList");

#ifdef __cplusplus
}
#endif

#endif
